// Package sandbox stages a migration on one machine: a PostgreSQL cluster of
// its own on a free loopback port, a share that is a mount point, a home made
// by package seed with the stand-in serving it in standalone mode, what
// cluster-join.sh leaves behind, and an Ansible inventory for all of it.
//
// Everything lies in one folder, which Down removes together with the processes
// and mounts that Up started. Root is not needed: a caller who may not mount
// enters a user namespace first (Enter), or gets a plain folder as share, which
// the migration's prechecks refuse, as they should. PostgreSQL never runs as
// root.
package sandbox
