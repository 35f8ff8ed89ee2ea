package database

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/sqlite"
)

// source is where rows come from: private copies of the SQLite files, and the
// metadata files of activated repositories as a table in memory.
type source struct {
	dir       string                  // holds the copies by their path below the home
	temporary bool                    // taken for this call while the server may run
	scratch   string                  // folder for temporary copies; made when needed
	id        string                  // changes whenever the copies do
	files     map[string]*sqlite.Conn // by path below the home, or cidx.Activated
	stamps    map[string]stamp
	tables    map[string][]sqlite.Table
	activated
}

// stamp tells whether a copy was touched.
type stamp struct {
	Size    int64  `json:"size"`
	Time    int64  `json:"mtime"`
	Changed int64  `json:"ctime"`
	Inode   uint64 `json:"inode"`
}

// written is a stamp that only writing changes. SQLite, run by root, gives a log to
// its owner again when it opens it.
func (s stamp) written() stamp { return stamp{Size: s.Size, Time: s.Time} }

func (s *source) close() {
	if s == nil {
		return
	}
	for _, c := range s.files {
		c.Close()
	}
	if s.scratch != "" {
		_ = os.RemoveAll(s.scratch)
	}
}

// table is one of the source's, not matched to one of PostgreSQL yet.
func (s *source) table(entry cidx.Table, from sqlite.Table) *table {
	t := load.Table{Name: entry.Name, File: entry.File, Conn: s.files[entry.File], From: from}
	return &table{Table: t, catalogued: catalogued{entry}}
}

// snapshotExists reports whether the backup step has left its copies.
func snapshotExists(state home.State) bool {
	for _, f := range cidx.DatabaseFiles() {
		if f.Migrates && f.Required {
			if _, err := os.Stat(state.Snapshot(f.Path)); err != nil {
				return false
			}
		}
	}
	return true
}

// openSnapshot opens the copies that the backup step took after the stop.
func openSnapshot(ctx context.Context, set *settings) (*source, error) {
	var problems problem.List
	for _, f := range cidx.DatabaseFiles() {
		at := set.state.Snapshot(f.Path)
		if f.Migrates && !exists(at) && (f.Required || exists(filepath.Join(set.args.Home, f.Path))) {
			problems = append(problems, problem.Problem{What: "no private snapshot of " + f.Path, At: at,
				Fix: "run the backup step (cidx_backup) after the server is stopped"})
		}
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return openSource(ctx, set, &source{dir: set.state.Snapshot("")})
}

// openCopies takes copies of its own of the files that the server uses.
func openCopies(ctx context.Context, set *settings) (*source, error) {
	dir, err := sqlite.CopyFolder()
	if err != nil {
		return nil, err
	}
	return copyInto(ctx, set, &source{dir: dir, scratch: dir})
}

// copyInto takes copies of the files that the server uses.
func copyInto(ctx context.Context, set *settings, s *source) (*source, error) {
	s.temporary = true
	var problems problem.List
	for _, f := range cidx.DatabaseFiles() {
		from := filepath.Join(set.args.Home, f.Path)
		if f.Migrates && (f.Required || exists(from)) {
			problems.Add(sqlite.Copy(ctx, from, filepath.Join(s.dir, f.Path)))
		}
	}
	if err := problems.Err(); err != nil {
		s.close()
		return nil, err
	}
	return openSource(ctx, set, s)
}

// openSource opens every copy below the source's folder and lists its tables.
func openSource(ctx context.Context, set *settings, s *source) (_ *source, err error) {
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	s.files, s.tables, s.stamps = map[string]*sqlite.Conn{}, map[string][]sqlite.Table{}, map[string]stamp{}
	sum := sha256.New()
	var problems problem.List
	for _, f := range cidx.DatabaseFiles() {
		path := filepath.Join(s.dir, f.Path)
		if !f.Migrates || !exists(path) {
			continue
		}
		fmt.Fprintf(sum, "%s\n", f.Path)
		if err := sqlite.Fingerprint(sum, path); err != nil {
			return nil, err
		}
		problems.Add(s.mention(s.open(ctx, f.Path, path, filepath.Join(set.args.Home, f.Path)), path))
	}
	s.id = hex.EncodeToString(sum.Sum(nil))
	if err := problems.Err(); err != nil {
		return nil, err
	}
	tree, ok := set.layout.Tree(cidx.ActivatedRepos)
	if !ok {
		return s, nil // nobody has activated a repository
	}
	conn, err := sqlite.Memory()
	if err != nil {
		return nil, err
	}
	s.files[cidx.Activated] = conn
	if s.activated, err = readActivated(set, conn, tree); err != nil {
		return nil, err
	}
	s.tables[cidx.Activated], err = conn.Tables()
	return s, err
}

// mention adds to a problem of a database the place of the copy where it was
// seen, unless that is gone when the operator reads it.
func (s *source) mention(err error, path string) error {
	if err == nil || s.temporary {
		return err
	}
	problems := problem.Of(err)
	for i := range problems {
		problems[i].What += " (seen in the private copy " + path + ")"
	}
	return problems
}

// open opens the copy of the database rel. Messages call it name.
func (s *source) open(ctx context.Context, rel, path, name string) error {
	hot, err := sqlite.HasHotJournal(path)
	if err != nil {
		return err
	}
	if hot {
		if s.scratch == "" {
			if s.scratch, err = sqlite.CopyFolder(); err != nil {
				return err
			}
		}
		recovered := filepath.Join(s.scratch, "recovered", rel)
		if err := sqlite.Recover(ctx, path, recovered, name); err != nil {
			return err
		}
		path = recovered
	}
	for _, p := range []string{path, path + "-wal"} {
		s.stamps[p] = stampOf(p).written()
	}
	conn, err := sqlite.OpenCopy(path, name)
	if err != nil {
		return err
	}
	s.files[rel] = conn
	s.tables[rel], err = conn.Tables()
	return err
}

// unchanged is an error if a copy was touched since it was opened.
func (s *source) unchanged() error {
	var problems problem.List
	for path, before := range s.stamps {
		if stampOf(path).written() != before {
			problems = append(problems, problem.Problem{What: "the copy changed while it was read", At: path,
				Fix: "find out what writes there, then run the backup step and this one again"})
		}
	}
	return problems.Err()
}

// stampOf does not tell an absent file from an empty one: SQLite makes an empty
// -wal beside a WAL database that it opens read-only.
func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 {
		return stamp{}
	}
	s := stamp{Size: info.Size(), Time: info.ModTime().UnixNano()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.Changed, s.Inode = sys.Ctim.Nano(), sys.Ino
	}
	return s
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil || !errors.Is(err, fs.ErrNotExist)
}

// integrity has SQLite check the structure of every copy.
func (s *source) integrity(ctx context.Context, m *load.Meter) error {
	var problems problem.List
	for file, conn := range s.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if file != cidx.Activated {
			m.Begin("checking "+file, 0, "")
			problems.Add(quickCheck(conn))
		}
	}
	return problems.Err()
}

func quickCheck(conn *sqlite.Conn) error {
	faults, err := conn.QuickCheck(5)
	if err != nil {
		return err
	}
	if len(faults) > 0 {
		return problem.Problem{What: "the database is damaged: " + strings.Join(faults, "; "), At: conn.Name(),
			Fix: "restore a backup of it, or repair it with the server stopped (sqlite3 FILE .recover), then migrate again"}
	}
	return nil
}

// smallFile is up to which size a database is checked again in a real run. The
// rehearsal checks all; a large one would cost more time than loading it.
const smallFile = 64 << 20

// checkSmall checks the small databases beside what else is going on, on
// connections of its own. The function that it returns waits for the result.
func checkSmall(s *source) func() error {
	names := map[string]string{} // of the databases, by the path of the copy
	for file, conn := range s.files {
		if info, err := os.Stat(conn.Path()); file != cidx.Activated && err == nil && info.Size() <= smallFile {
			names[conn.Path()] = conn.Name()
		}
	}
	result := make(chan error, 1)
	go func() {
		var problems problem.List
		for path, name := range names {
			conn, err := sqlite.OpenCopy(path, name)
			if err != nil {
				problems.Add(err)
				continue
			}
			problems.Add(quickCheck(conn))
			conn.Close()
		}
		result <- problems.Err()
	}()
	return sync.OnceValue(func() error { return <-result })
}
