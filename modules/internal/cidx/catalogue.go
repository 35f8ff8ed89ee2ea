package cidx

// Table is what no schema can tell about one of CIDX's tables: whether it moves
// to PostgreSQL, and which of its values mean something that their type does
// not say. Types, keys and references are read from the databases.
type Table struct {
	Name string
	File string // below the home; "" for tables that exist in PostgreSQL only
	Skip string // why the table does not move; "" if it does
	Core bool   // every release that has File makes the table: without it the file was emptied

	Renames map[string]string // SQLite column → PostgreSQL column
	Local   []string          // times without an offset are the host's local time
	UTC     []string          // times without an offset are UTC
	Epoch   []string          // numbers, also as text, are seconds since 1970
	Paths   map[string]PathRule
	Secrets []string            // columns whose values are never shown
	Cipher  map[string]Cipher   // columns whose values must decrypt
	Null    map[string]Fallback // what NULL becomes where PostgreSQL refuses it
	Active  *ActiveRule         // rows of work that will never end
	Seeds   []Seed              // rows that a first cluster start leaves behind
	Started bool                // a row of Seeds proves that a server has started there
	SeedsOf string              // table: Seeds count only where it has rows of a first start
	Grows   bool                // index runs of this server write rows to PostgreSQL as soon as it is joined
	Folders string              // column of folders that a first cluster start on other rows may delete
	Wanes   bool                // the server deletes rows of its own accord
	Warn    string              // condition in SQL on SQLite's rows that is worth telling
	Checked map[string]string   // column → column of another table, "table.column", that only SQLite references
}

// Copied reports whether the table's rows move to PostgreSQL.
func (t Table) Copied() bool { return t.Skip == "" }

// PathRule says how absolute paths in a column follow their tree to the share.
type PathRule int

// Path rules. Columns without one keep their paths: CIDX compares
// research_sessions.folder_path as text and deletes what does not match, and
// ssh_keys paths lie in ~/.ssh of every node.
const (
	PathRewrite PathRule = iota + 1 // a path below a tree gets the share's spelling
	URLRewrite                      // the same for a local path or file URL; other URLs stay
)

// Cipher says which key opens a column.
type Cipher int

// Ciphers (CIDX 11.79: token encryption with the salt file, Fernet with
// data/mfa_key.dat).
const (
	TokenCipher Cipher = iota + 1
	MFACipher
)

// Fallback is what NULL becomes in a column that PostgreSQL does not let be
// NULL.
type Fallback int

// Fallbacks.
const (
	Zero   Fallback = iota + 1 // the number 0
	Moment                     // the time of the migration
)

// ActiveRule fails jobs that were pending or running when the server stopped,
// as a standalone server does at its next start; the cluster would leave them
// for ever, and they would block new jobs of their kind.
type ActiveRule struct {
	Status   string   // column
	Active   []string // its values that become Failed
	Failed   string
	Finished string // column that gets the time of the migration where it is NULL
	Error    string // column that gets Text where it is NULL
	Text     string
}

// Seed describes rows by the values of some columns, as PostgreSQL prints
// them; an empty string stands for NULL, and "=column" for the moment in another
// column.
type Seed map[string]string

// FirstStart is what a first cluster start on other data than the server's does
// to the home of the server (CIDX 11.79, run).
const FirstStart = "that start has emptied the managed part of ~/.ssh/config (the first start after the migration writes it again), " +
	"has pointed aliases/cidx-meta-global.json to the clone, and has deleted research folders that were older than 7 days"

// Activated is the File of activated_repos: its rows come from the
// *_metadata.json files of data/activated-repos.
const Activated = "data/activated-repos"

// SkippedFiles are databases of which no table moves, with the reason.
var SkippedFiles = map[string]string{
	"logs.db":                       "operational log, kept for 7 days; the old file stays readable",
	"data/api_metrics.db":           "usage counters, kept for at most 15 days",
	"data/payload_cache.db":         "cache with a lifetime of minutes",
	"elevated_sessions.db":          "sign-ins of minutes",
	"cidx_oidc_state.db":            "sign-ins of minutes",
	"data/query_embedding_cache.db": "cache, refilled by one provider call per distinct query",
}

// FindTable returns the catalogue's entry.
func FindTable(name string) (Table, bool) {
	for _, t := range Catalogue {
		if t.Name == name {
			return t, true
		}
	}
	return Table{}, false
}
