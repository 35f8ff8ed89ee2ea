// Package seed makes the data of a standalone CIDX 11.79 server: every SQLite
// file with every table filled, golden repositories made with real git,
// snapshots, alias files, activated repositories, users with MFA, encrypted
// tokens and configuration. It also makes CIDX's PostgreSQL schema.
//
// The same Options with the same Random make the same rows, repositories and
// secrets. The data is meant to be awkward the way real data is: a hot WAL,
// gaps in ids, every spelling of time, JSON in odd forms, links that leave the
// tree. Nothing here knows how a migration works; the package imports nothing
// of the modules.
package seed
