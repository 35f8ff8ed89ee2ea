// Command cidx-helper is every module of cidx-cluster in one binary: it
// dispatches on its own name (Ansible's binary-module contract) or on its
// first words. See docs/architecture.md.
package main

import (
	"os"

	"cidx-cluster/modules/internal/ansible"
)

func main() { os.Exit(ansible.Main(os.Args, modules())) }

func modules() []ansible.Module {
	return []ansible.Module{}
}
