// Package nfs tries a migration onto a true NFS share: `make lab-nfs`.
//
// node1 is a virtual machine under software emulation (QEMU without KVM) with
// Debian's kernel, a systemd, a kernel NFS server and its own export mounted as
// nfs4, so that root_squash, id mapping, a read-only export and a stopped file
// server behave as a filer's. This machine is the controller: it reaches node1
// by SSH at a forwarded loopback port, as an ordinary user with sudo, and gives
// it PostgreSQL at the emulator's address of this machine. Nothing else is
// reachable from either side, and everything ends with the test process.
//
// One machine is booted for all scenarios; each begins with a fresh home, a
// fresh export and an empty database. What they saw is written to docs/nfs.md
// with LAB_DOC=1.
package nfs
