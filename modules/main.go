// Command cidx-helper is every module of cidx-cluster in one binary: it
// dispatches on its own name (Ansible's binary-module contract) or on its
// first words. See docs/architecture.md.
package main

import (
	"os"

	files "cidx-cluster/modules/cidx_files"
	service "cidx-cluster/modules/cidx_service"
	verify "cidx-cluster/modules/cidx_verify"
	"cidx-cluster/modules/internal/ansible"
)

func main() { os.Exit(ansible.Main(os.Args, modules())) }

// modules in the order of a migration.
func modules() []ansible.Module {
	return []ansible.Module{
		service.Module(),
		files.Module(),
		verify.Module(),
	}
}
