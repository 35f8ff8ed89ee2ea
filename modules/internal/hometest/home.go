// Package hometest makes small homes of CIDX servers for tests: the layout of
// CIDX 11.79, config.json as cluster-join.sh leaves it, databases with the
// tables of the registry and a write-ahead log that is not checkpointed.
package hometest

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	_ "modernc.org/sqlite"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/kept"
	"cidx-cluster/modules/internal/loaded"
	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/pgtest"
	"cidx-cluster/modules/internal/tree"
)

// Home is a standalone server's home beside an empty share.
type Home struct {
	Dir   string // the home
	Share string
	DSN   string // of an empty database; "" without one
	Repos []string
}

// Standalone is config.json as a standalone server keeps it.
const Standalone = `{
  "server_dir": %q,
  "storage_mode": "sqlite",
  "postgres_dsn": null,
  "ontap": null,
  "cluster": null,
  "clone_backend": "local",
  "cow_daemon": null,
  "server_threadpool_size": 40
}
`

// Cluster is config.json as cluster-join.sh leaves it.
const Cluster = `{
  "server_dir": %q,
  "storage_mode": "postgres",
  "postgres_dsn": %q,
  "ontap": {
    "mount_point": %q,
    "admin_password": "ontap-Secret"
  },
  "cluster": {
    "node_id": "node-1"
  },
  "clone_backend": "local",
  "cow_daemon": null,
  "server_threadpool_size": 40
}
`

// New makes a home with three repositories. dsn goes into config.json.
func New(t testing.TB, dsn string) Home {
	t.Helper()
	root := t.TempDir()
	h := Home{Dir: filepath.Join(root, ".cidx-server"), Share: filepath.Join(root, "share"), DSN: dsn, Repos: []string{"billing", "web", "docs-global"}}
	must(t, os.MkdirAll(h.Share, 0o755))
	h.Write(t, "config.json", fmt.Sprintf(Cluster, h.Dir, dsn, h.Share))
	h.Write(t, "config.json.bak.20260102_030405", fmt.Sprintf(Standalone, h.Dir))
	h.Write(t, ".encryption_key_salt", "node1.example.org")
	h.Write(t, ".jwt_secret", "jwt-Secret-Text\n")
	h.Write(t, "data/mfa_key.dat", "mfa-Secret-Key\n")
	must(t, os.Chmod(filepath.Join(h.Dir, "config.json"), 0o640))
	for _, repo := range h.Repos {
		h.Write(t, "data/golden-repos/"+repo+"/.git/HEAD", "ref: refs/heads/main\n")
		h.Write(t, "data/golden-repos/"+repo+"/main.go", "package main // "+repo+"\n")
		h.Write(t, "data/golden-repos/aliases/"+repo+"-global.json", fmt.Sprintf("{\n  \"target_path\": %q,\n  \"repo_name\": %q\n}", h.Path("data/golden-repos", repo), repo))
	}
	h.Write(t, "data/activated-repos/ann/web/main.go", "package main\n")
	h.databases(t)
	return h
}

// databases makes every SQLite file; the main one keeps rows in its -wal.
func (h Home) databases(t testing.TB) {
	for _, d := range cidx.DatabaseFiles() {
		if d.Path != "data/cidx_server.db" && d.Migrates {
			h.SQL(t, d.Path, "CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t DEFAULT VALUES")
		}
	}
	statements := []string{
		"PRAGMA journal_mode=WAL", "PRAGMA wal_autocheckpoint=0",
		"CREATE TABLE golden_repos_metadata (alias TEXT PRIMARY KEY NOT NULL, repo_url TEXT, clone_path TEXT NOT NULL)",
		"CREATE TABLE global_repos (alias_name TEXT PRIMARY KEY, repo_name TEXT NOT NULL, index_path TEXT NOT NULL)",
	}
	for _, repo := range h.Repos {
		path := h.Path("data/golden-repos", repo)
		statements = append(statements, fmt.Sprintf("INSERT INTO golden_repos_metadata VALUES ('%s', 'https://git.example.org/%[1]s', '%s')", repo, path),
			fmt.Sprintf("INSERT INTO global_repos VALUES ('%s-global', '%[1]s', '%s')", repo, path))
	}
	h.HotSQL(t, "data/cidx_server.db", statements...)
}

// SQL runs statements on a database of the home.
func (h Home) SQL(t testing.TB, name string, statements ...string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(h.Path(name)), 0o755))
	db, err := sql.Open("sqlite", h.Path(name))
	must(t, err)
	db.SetMaxOpenConns(1)
	for _, s := range append([]string{"PRAGMA synchronous=OFF"}, statements...) {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	must(t, db.Close())
}

// HotSQL is SQL for a server that dies: the -wal stays as it is.
func (h Home) HotSQL(t testing.TB, name string, statements ...string) {
	t.Helper()
	work := t.TempDir()
	path := filepath.Join(work, filepath.Base(name))
	for _, suffix := range []string{"", "-wal"} {
		if raw, err := os.ReadFile(h.Path(name) + suffix); err == nil {
			must(t, os.WriteFile(path+suffix, raw, 0o600))
		}
	}
	db, err := sql.Open("sqlite", path)
	must(t, err)
	db.SetMaxOpenConns(1)
	for _, s := range append([]string{"PRAGMA synchronous=OFF"}, statements...) {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	must(t, os.MkdirAll(filepath.Dir(h.Path(name)), 0o755))
	for _, suffix := range []string{"", "-wal"} {
		raw, err := os.ReadFile(path + suffix)
		must(t, err)
		must(t, os.WriteFile(h.Path(name)+suffix, raw, 0o600))
	}
	must(t, db.Close())
}

// Path joins elements below the home.
func (h Home) Path(elem ...string) string {
	return filepath.Join(append([]string{h.Dir}, elem...)...)
}

// Write writes a file below the home, mode 0600.
func (h Home) Write(t testing.TB, name, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(h.Path(name)), 0o755))
	must(t, os.WriteFile(h.Path(name), []byte(content), 0o600))
}

// Copy does what the file step does: the trees to the share, the aliases there
// pointing to it.
func (h Home) Copy(t testing.TB) {
	t.Helper()
	for _, tree := range []string{"golden-repos", "activated-repos"} {
		must(t, os.CopyFS(filepath.Join(h.Share, tree), os.DirFS(h.Path("data", tree))))
	}
	aliases, err := filepath.Glob(filepath.Join(h.Share, "golden-repos/aliases/*.json"))
	must(t, err)
	for _, path := range aliases {
		raw, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(raw), h.Path("data/golden-repos"), filepath.Join(h.Share, "golden-repos"))), 0o600))
	}
	h.Remember(t)
}

// Remember writes the manifests of a copy of the trees as they are.
func (h Home) Remember(t testing.TB) {
	t.Helper()
	state := home.Common{Home: h.Dir}.State()
	must(t, os.MkdirAll(state.Files(), 0o700))
	for _, part := range []string{cidx.GoldenRepos, cidx.ActivatedRepos} {
		m, err := manifest.Open(state.Manifest(part))
		must(t, err)
		must(t, tree.Walk(t.Context(), h.Path("data", part), tree.Options{}, func(d *tree.Dir) error {
			return m.Put(d.Path, d.Encode(), bytes.Repeat([]byte{manifest.Copied}, len(d.Entries)+1))
		}))
		must(t, m.Close())
	}
}

// Load does what the database step does for the registry.
func (h Home) Load(t testing.TB) {
	t.Helper()
	statements := []string{
		"CREATE TABLE golden_repos_metadata (alias text PRIMARY KEY, repo_url text, clone_path text NOT NULL)",
		"CREATE TABLE global_repos (alias_name text PRIMARY KEY, repo_name text NOT NULL, index_path text NOT NULL)",
	}
	for _, repo := range h.Repos {
		path := filepath.Join(h.Share, "golden-repos", repo)
		statements = append(statements, fmt.Sprintf("INSERT INTO golden_repos_metadata VALUES ('%s', '', '%s')", repo, path),
			fmt.Sprintf("INSERT INTO global_repos VALUES ('%s-global', '%[1]s', '%s')", repo, path))
	}
	pgtest.Exec(t, h.DSN, statements...)
}

// Stand does what the backup step does, and what the database step leaves to be
// found: the marker in PostgreSQL and the journal's line.
func (h Home) Stand(t testing.TB) {
	t.Helper()
	common := home.Common{Home: h.Dir}
	must(t, os.MkdirAll(string(common.State()), 0o700))
	places, err := kept.Open(common)
	must(t, err)
	defer places.Close() //nolint:errcheck // folders
	aliases, err := places.Aliases()
	must(t, err)
	record := kept.Record{Time: time.Now(), Home: h.Dir}
	for _, f := range append(places.Fixed(), aliases...) {
		s := kept.Source{Path: f.Path, Kind: f.Kind, Absent: true}
		if info, err := os.Lstat(places.At(f)); err == nil {
			s = kept.Describe(info)
			s.Path, s.Kind, s.Copy = f.Path, f.Kind, f.CopyOf()
			raw, err := os.ReadFile(places.At(f))
			must(t, err)
			s.SHA256 = fmt.Sprintf("%x", sha256.Sum256(raw))
			if s.Copy != "" {
				to := common.State().Path(s.Copy)
				must(t, os.MkdirAll(filepath.Dir(to), 0o700))
				must(t, os.WriteFile(to, raw, 0o600))
			}
		}
		record.Sources = append(record.Sources, s)
	}
	must(t, record.Write(common.State()))
	host, err := os.Hostname()
	must(t, err)
	pgtest.Exec(t, h.DSN, "CREATE TABLE IF NOT EXISTS "+cidx.LoadMarker+" "+loaded.Columns,
		fmt.Sprintf("INSERT INTO %s VALUES ('of-this-home', '%s', '%s', now(), now(), '', '{\"users\": {\"rows\": 2, \"digest\": \"d1\"}}') ON CONFLICT", cidx.LoadMarker, h.Dir, host)+" (source_id) DO UPDATE SET rolled_back_at = NULL")
	must(t, journal.Append(common.State().Journal(), home.DatabaseModule, home.DatabaseLoaded, map[string]any{"source_id": "of-this-home"}))
}

// Snapshot lists everything below dirs: path, type, mode, link target or
// content (of long and binary files the hash). Two snapshots are equal if nothing has changed.
func Snapshot(t testing.TB, dirs ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, dir := range dirs {
		must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := os.Lstat(path)
			if err != nil {
				return err
			}
			text := info.Mode().String()
			switch {
			case info.Mode()&fs.ModeSymlink != 0:
				to, err := os.Readlink(path)
				if err != nil {
					return err
				}
				text += " -> " + to
			case info.Mode().IsRegular():
				raw, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				if len(raw) > 2000 || !utf8.Valid(raw) {
					text += fmt.Sprintf(" %d bytes, sha256 %x", len(raw), sha256.Sum256(raw))
				} else {
					text += " " + string(raw)
				}
			}
			all[path] = text
			return nil
		}))
	}
	return all
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
