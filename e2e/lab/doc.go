// Package lab stages a migration as an operator does it: a controller (this
// machine), nodes that boot their own systemd and are reached by SSH as an
// ordinary user with sudo, PostgreSQL with passwords and TLS at an address of
// its own, and a share that the nodes mount.
//
// A node is a systemd-nspawn container over a Debian root that mmdebstrap makes
// once and that is cached; its changes go to an overlay in memory. Every node
// and the database have a network namespace, on a bridge in a subnet that no
// route of the machine uses. Everything lies in one folder and carries its name
// in its environment, so that Down, or the next run's Sweep after a kill, ends
// exactly what this lab started.
package lab
