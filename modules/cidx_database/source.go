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
	"syscall"
	"time"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/sqlite"
)

// source is where rows come from: private copies of the SQLite files, and the
// metadata files of activated repositories as a table in memory.
type source struct {
	dir       string // holds the copies by their path below the home
	temporary bool   // taken for this call while the server may run
	id        string // changes whenever the copies do
	taken     time.Time
	files     map[string]*sqlite.Conn // by path below the home, or cidx.Activated
	stamps    map[string]stamp
	tables    map[string][]sqlite.Table
	moved     int64 // paths in the metadata files that were rewritten
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
}

// snapshotExists reports whether the backup step has left its copies.
func (r *runner) snapshotExists() bool {
	for _, f := range cidx.DatabaseFiles() {
		if f.Migrates && f.Required {
			if _, err := os.Stat(r.state.Snapshot(f.Path)); err != nil {
				return false
			}
		}
	}
	return true
}

// openSnapshot opens the copies that the backup step took after the stop.
func (r *runner) openSnapshot(ctx context.Context) error {
	r.source = &source{dir: r.state.Snapshot("")}
	var problems problem.List
	for _, f := range cidx.DatabaseFiles() {
		if !f.Migrates || exists(r.state.Snapshot(f.Path)) {
			continue
		}
		if f.Required || exists(filepath.Join(r.args.Home, f.Path)) {
			problems = append(problems, problem.Problem{What: "no private snapshot of " + f.Path, At: r.state.Snapshot(f.Path), Fix: "run the backup step (cidx_backup) after the server is stopped"})
		}
	}
	if err := problems.Err(); err != nil {
		return err
	}
	return r.openSource(ctx)
}

// openCopies takes copies of its own of the files that the server uses.
func (r *runner) openCopies(ctx context.Context) error {
	dir, err := r.folder()
	if err != nil {
		return err
	}
	return copyInto(ctx, r, dir)
}

// copyInto takes copies of the files that the server uses.
func copyInto(ctx context.Context, r *runner, dir string) error {
	r.source = &source{dir: dir, temporary: true}
	var problems problem.List
	for _, f := range cidx.DatabaseFiles() {
		from := filepath.Join(r.args.Home, f.Path)
		if !f.Migrates || (!f.Required && !exists(from)) {
			continue
		}
		problems.Add(sqlite.Copy(ctx, from, filepath.Join(dir, f.Path)))
	}
	if err := problems.Err(); err != nil {
		return err
	}
	return r.openSource(ctx)
}

// openSource opens every copy below the source's folder and lists its tables.
func (r *runner) openSource(ctx context.Context) error {
	s := r.source
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
			return err
		}
		problems.Add(r.mention(r.openFile(ctx, f.Path, path), path))
	}
	s.id = hex.EncodeToString(sum.Sum(nil))
	if err := problems.Err(); err != nil {
		return err
	}
	return r.openActivated()
}

// mention adds to a problem of a database the place of the copy where it was
// seen, unless that is gone when the operator reads it.
func (r *runner) mention(err error, path string) error {
	if err == nil || r.source.temporary {
		return err
	}
	problems := problem.Of(err)
	for i := range problems {
		problems[i].What += " (seen in the private copy " + path + ")"
	}
	return problems
}

// openFile opens the copy of the database rel. Messages name the database.
func (r *runner) openFile(ctx context.Context, rel, path string) error {
	s, name := r.source, filepath.Join(r.args.Home, rel)
	hot, err := sqlite.HasHotJournal(path)
	if err != nil {
		return err
	}
	if hot {
		dir, err := r.folder()
		if err != nil {
			return err
		}
		recovered := filepath.Join(dir, "recovered", rel)
		if err := sqlite.Recover(ctx, path, recovered, name); err != nil {
			return err
		}
		path = recovered
	}
	for _, p := range []string{path, path + "-wal"} {
		s.stamps[p] = stampOf(p).written()
	}
	if info, err := os.Stat(path); err == nil && info.ModTime().After(s.taken) {
		s.taken = info.ModTime()
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
			problems = append(problems, problem.Problem{What: "the copy changed while it was read", At: path, Fix: "find out what writes there, then run the backup step and this one again"})
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
