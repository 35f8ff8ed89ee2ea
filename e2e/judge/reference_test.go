package judge

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // another reader than the judge's
)

// The reference migration: as simple as it can be, slow, as superuser, and with
// other means than the judge's. What it makes must be equal.

func (f *fixture) migrate() {
	f.t.Helper()
	f.load()
	f.copyTrees()
	f.cutOver()
}

func (f *fixture) load() {
	f.t.Helper()
	conn := f.superuser()
	defer conn.Close(context.Background())
	schema, err := loadSchema()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, name := range sortedNames(schema) {
		if t := schema[name]; t.copied() && name != activatedTable {
			f.loadTable(conn, name, t)
		}
	}
	f.loadActivated(conn)
	f.loadSecrets(conn)
}

// open opens a private copy of a SQLite file, once for all its tables.
func (f *fixture) open(file string) *sql.DB {
	f.t.Helper()
	if db := f.copies[file]; db != nil {
		return db
	}
	private := filepath.Join(f.t.TempDir(), "copy.db")
	f.shell(fmt.Sprintf(`cp '%s/%s' '%s'; cp '%[1]s/%[2]s-wal' '%[3]s-wal' 2>/dev/null || true`, f.home, file, private))
	db, err := sql.Open("sqlite", private)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { db.Close() })
	f.copies[file] = db
	return db
}

func (f *fixture) loadTable(conn *pgx.Conn, name string, t table) {
	f.t.Helper()
	db := f.open(t.Sqlite.Files[0])
	var names, casts, places []string
	for _, c := range sortedNames(t.Sqlite.Columns) {
		kind := t.Postgres.Columns[t.rename(c)].Type
		if kind == "boolean" {
			kind = "int::boolean"
		}
		names, casts = append(names, ident(c)), append(casts, ident(t.rename(c)))
		places = append(places, fmt.Sprintf("$%d::text::%s", len(places)+1, kind))
	}
	// unary plus hides the declared type, which would make the driver parse times
	rows, err := db.Query("SELECT +" + strings.Join(names, ", +") + " FROM " + ident(name))
	if err != nil {
		f.t.Fatal(err)
	}
	defer rows.Close()
	insert := "INSERT INTO " + ident(name) + " (" + strings.Join(casts, ", ") + ") VALUES (" + strings.Join(places, ", ") + ")"
	for rows.Next() {
		values, pointers := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			pointers[i] = &values[i]
		}
		if err := rows.Scan(pointers...); err != nil {
			f.t.Fatal(err)
		}
		f.convert(name, t, values)
		if _, err := conn.Exec(context.Background(), insert, values...); err != nil {
			f.t.Fatalf("%s: %v: %v", name, values, err)
		}
	}
	f.setSequence(conn, db, name, t)
}

func (f *fixture) convert(name string, t table, values []any) {
	job := false
	columns := sortedNames(t.Sqlite.Columns)
	for i, c := range columns {
		job = job || c == "status" && strings.HasSuffix(name, "_jobs") && (values[i] == "pending" || values[i] == "running")
	}
	for i, c := range columns {
		values[i] = f.convertValue(name, c, t, values[i])
		switch {
		case job && c == "status":
			values[i] = "failed"
		case job && c == "completed_at":
			values[i] = time.Now().UTC().Format(time.RFC3339Nano)
		case job && (c == "error" || c == "error_message"):
			values[i] = "interrupted by the migration"
		}
	}
}

func (f *fixture) convertValue(name, c string, t table, v any) any {
	target := t.Postgres.Columns[t.rename(c)]
	if v == nil && !target.Nullable {
		return map[bool]any{true: "now", false: "0"}[c == "timestamp"]
	}
	switch x := v.(type) {
	case int64:
		return strconv.FormatInt(x, 10)
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	case string:
		if strings.HasPrefix(target.Type, "timestamp") {
			return f.instant(name, c, x)
		}
		if c == "clone_path" || c == "index_path" || c == "file_path" || c == "repo_url" {
			return f.spelled(x)
		}
	}
	return v
}

func (f *fixture) instant(name, c, text string) string {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		return time.UnixMicro(int64(seconds*1e6 + 0.5)).UTC().Format(time.RFC3339Nano)
	}
	if name == "ssh_keys" || name == "diagnostic_results" {
		at, err := time.ParseInLocation("2006-01-02T15:04:05.000000", text, f.zone)
		if err != nil {
			f.t.Fatal(err)
		}
		return at.Format(time.RFC3339Nano)
	}
	return text
}

// spelled moves a path, or file:// URL, below golden-repos to the share.
func (f *fixture) spelled(text string) string {
	at := regexp.MustCompile("^(file://)?" + regexp.QuoteMeta(f.golden) + "(/|$)")
	return at.ReplaceAllString(text, "${1}"+f.share+"/golden-repos${2}")
}

func (f *fixture) setSequence(conn *pgx.Conn, db *sql.DB, name string, t table) {
	for c, column := range t.Postgres.Columns {
		if column.Sequence == "" {
			continue
		}
		var high int64
		if err := db.QueryRow("SELECT seq FROM sqlite_sequence WHERE name = ?", name).Scan(&high); err != nil {
			f.t.Fatal(err)
		}
		if _, err := conn.Exec(context.Background(), "SELECT setval(pg_get_serial_sequence($1, $2), $3)", name, c, high); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fixture) loadActivated(conn *pgx.Conn) {
	root := filepath.Join(f.home, "data", "activated-repos")
	files, _ := filepath.Glob(root + "/*/*_metadata.json")
	for _, file := range files {
		user := filepath.Base(filepath.Dir(file))
		text, err := os.ReadFile(file)
		var m map[string]any
		if err != nil || json.Unmarshal(text, &m) != nil || user == ".trash" {
			f.t.Fatal(file, err)
		}
		take := func(key string, otherwise any) any {
			v, has := m[key]
			delete(m, key)
			if !has || v == nil {
				return otherwise
			}
			return v
		}
		key := take("ssh_key_used", nil)
		if key == false || key == "" {
			key = nil
		}
		folder := strings.TrimSuffix(file, "_metadata.json")
		if _, err := os.Stat(folder); err != nil {
			folder = ""
		}
		path := take("path", nil)
		if text, composite := path.(string); composite {
			folder = strings.Replace(text, root, f.share+"/activated-repos", 1)
		}
		activated := take("activated_at", nil)
		row := []any{take("username", user), take("user_alias", ""), take("golden_repo_alias", nil),
			folder, take("current_branch", "main"), activated,
			take("last_accessed", activated), take("git_committer_email", nil), key, take("is_composite", false), take("wiki_enabled", false), nil}
		if len(m) > 0 {
			rest, _ := json.Marshal(m)
			row[11] = string(rest)
		}
		_, err = conn.Exec(context.Background(), `INSERT INTO activated_repos (username, user_alias, golden_repo_alias, repo_path, current_branch, activated_at,
			last_accessed, git_committer_email, ssh_key_used, is_composite, wiki_enabled, metadata_json)
			VALUES ($1, $2, $3, $4, $5, $6::text::timestamptz, $7::text::timestamptz, $8, $9, $10, $11, $12::text::jsonb)`, row...)
		if err != nil {
			f.t.Fatal(file, err)
		}
	}
}

func (f *fixture) loadSecrets(conn *pgx.Conn) {
	key, err := os.ReadFile(filepath.Join(f.home, "data/mfa_key.dat"))
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = conn.Exec(context.Background(), `CREATE TABLE IF NOT EXISTS cluster_secrets (key_name text PRIMARY KEY, key_value text NOT NULL,
		created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now())`)
	if err == nil {
		_, err = conn.Exec(context.Background(), "ALTER TABLE cluster_secrets OWNER TO cidx")
	}
	if err == nil {
		_, err = conn.Exec(context.Background(), "INSERT INTO cluster_secrets (key_name, key_value) VALUES ('mfa_encryption_key', $1)", strings.TrimSpace(string(key)))
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) copyTrees() {
	const common = "rsync -aH --no-specials --no-devices --modify-window=-1 --exclude=/.snapshot "
	const locks = "--include='*/' --exclude='**.git/**.lock' --exclude='**.git/gc.pid' "
	f.shell(common + `--exclude=/.cache --exclude=/.locks --exclude=/.write_mode --exclude=/.versioned/.snapshot ` + locks +
		`--exclude='/cidx-meta/dependency-map/_active_*.lock' --exclude='/.*.tmp' --exclude='/aliases/.*.tmp' "$GOLDEN/" "$SHARE/golden-repos/"
		` + common + `--exclude=/.trash ` + locks + `"$HOME_DIR/data/activated-repos/" "$SHARE/activated-repos/"
		if [ -d "$HOME_DIR/.versioned" ]; then ` + common + locks + `"$HOME_DIR/.versioned/" "$SHARE/.versioned/"; fi`)
	aliases, _ := filepath.Glob(f.share + "/golden-repos/aliases/*.json")
	if f.layout == "assumed" {
		aliases, _ = filepath.Glob(f.share + "/golden-repos/*-global.json")
	}
	paths := regexp.MustCompile(`(?m)^  "(target|previous)_path": "[^"]*`)
	for _, alias := range aliases {
		if info, err := os.Stat(alias); err != nil || !info.Mode().IsRegular() {
			continue
		}
		text, err := os.ReadFile(alias)
		if err != nil {
			f.t.Fatal(err)
		}
		text = paths.ReplaceAllFunc(text, func(found []byte) []byte {
			tidied := strings.NewReplacer("//", "/", "/./", "/").Replace(string(found))
			at := strings.Replace(tidied, f.golden+"/", f.share+"/golden-repos/", 1)
			return []byte(strings.Replace(at, f.home+"/.versioned/", f.share+"/.versioned/", 1))
		})
		if err := os.WriteFile(alias, text, 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fixture) cutOver() {
	trees := map[string]string{f.golden: "golden-repos", filepath.Join(f.home, "data/activated-repos"): "activated-repos"}
	if f.layout == "assumed" {
		trees[filepath.Join(f.home, ".versioned")] = ".versioned"
	}
	for link, name := range trees {
		if err := os.Rename(link, link+".pre-cluster"); err != nil {
			f.t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(f.share, name), link); err != nil {
			f.t.Fatal(err)
		}
	}
	f.shell(`cp -p "$HOME_DIR/config.json" "$HOME_DIR/config.json.pre-cluster"`)
	f.seed("join", "-home", f.home, "-share", f.share)
	f.shell(`rm "$HOME_DIR"/config.json.bak.*`)
}
