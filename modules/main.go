// Command cidx-helper is every module of cidx-cluster in one binary: it
// dispatches on its own name (Ansible's binary-module contract) or on its
// first words. See docs/architecture.md.
package main

import (
	"os"

	aliases "cidx-cluster/modules/cidx_aliases"
	backup "cidx-cluster/modules/cidx_backup"
	config "cidx-cluster/modules/cidx_config"
	database "cidx-cluster/modules/cidx_database"
	files "cidx-cluster/modules/cidx_files"
	precheck "cidx-cluster/modules/cidx_precheck"
	report "cidx-cluster/modules/cidx_report"
	service "cidx-cluster/modules/cidx_service"
	verify "cidx-cluster/modules/cidx_verify"
	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/child"
)

func main() {
	child.Serve()
	os.Exit(ansible.Main(os.Args, modules()))
}

// modules in the order of a migration.
func modules() []ansible.Module {
	return []ansible.Module{
		precheck.Module(),
		service.Module(),
		backup.Module(),
		database.Module(),
		files.Module(),
		aliases.Module(),
		config.Module(),
		verify.Module(),
		report.Module(),
	}
}
