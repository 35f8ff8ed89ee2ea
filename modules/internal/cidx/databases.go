// Package cidx holds facts: what a CIDX server's files, databases and settings are
// called, and what no schema can tell of its tables. It looks at nothing.
//
// What it knows of CIDX is release 11.79. Layouts, files and columns are probed
// for, never derived from a version number.
package cidx

import "path/filepath"

// DatabaseFile is one SQLite file of a home. CIDX 11.79 keeps main data below
// data/, access rights, OAuth state and audit trails beside it.
type DatabaseFile struct {
	Path     string // below the home
	Migrates bool   // holds tables that go to PostgreSQL
	Required bool   // every start of CIDX makes it, so its absence means loss
}

// DatabaseFiles lists the SQLite files of a home. Those below the repositories
// (indexes, caches) belong to the trees and are not in it.
func DatabaseFiles() []DatabaseFile {
	return []DatabaseFile{
		{Path: "data/cidx_server.db", Migrates: true, Required: true},
		{Path: "groups.db", Migrates: true, Required: true},
		{Path: "oauth.db", Migrates: true, Required: true},
		{Path: "refresh_tokens.db", Migrates: true},
		{Path: "scip_audit.db", Migrates: true},
		{Path: "logs.db"},
		{Path: "data/api_metrics.db"},
		{Path: "data/query_embedding_cache.db"},
		{Path: "data/payload_cache.db"},
		{Path: "elevated_sessions.db"},
		{Path: "cidx_oidc_state.db"},
	}
}

// SideFiles are the files that belong to a SQLite file and hold data of their
// own: the write-ahead log, and the rollback journal of a crashed writer.
func SideFiles(database string) []string {
	return []string{database + "-wal", database + "-journal"}
}

// ServerDatabase is the main database of a home.
func ServerDatabase(home string) string { return filepath.Join(home, "data", "cidx_server.db") }

// Storage modes of config.json; any other value keeps CIDX from starting.
const (
	ModeSQLite   = "sqlite"
	ModePostgres = "postgres"
)

// Tree names.
const (
	GoldenRepos    = "golden-repos"
	Versioned      = "versioned" // a tree of its own only in the assumed layout
	ActivatedRepos = "activated-repos"
)

// LoadMarker is the table in PostgreSQL that remembers each load: source_id, and
// rolled_back_at once it was given up.
const LoadMarker = "cidx_cluster_migration"

// WarmMarker is the table in PostgreSQL that remembers what was loaded while the
// server still ran. It is no load: what asks whether a cluster may start asks for
// a row of LoadMarker, and the load that makes one drops this table.
const WarmMarker = "cidx_cluster_warm"
