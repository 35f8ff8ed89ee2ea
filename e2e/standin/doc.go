// Package standin is a CIDX server (release 11.79) as far as a migration to cluster mode can see it: same files, same
// tables, same HTTP answers, and as unforgiving. It runs on SQLite or on PostgreSQL, as config.json says.
//
// What it refuses: an unknown storage_mode, unknown keys inside cluster, ontap or cow_daemon, a PostgreSQL that does
// not answer, a second server in the same home. What it destroys, as CIDX does: registry rows, alias files and
// activations of repositories that it cannot find at a start (up to half of them at once), and research directories
// without a row. What it invents where nothing was loaded before the first cluster start: admin/admin, groups,
// configuration, an MFA key, and a token salt that opens nothing.
//
// It shares no code with the migration's modules. Start and Run are the only doors; flags are in flags.go.
package standin
