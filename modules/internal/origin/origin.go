// Package origin opens what the rows of a standalone server come from: private
// copies of its SQLite files, and the metadata files of activated repositories.
// What the server itself uses is only copied.
package origin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/copies"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/scratch"
	"cidx-cluster/modules/internal/sqlite"
)

// Server is where the databases of a server are, and how its paths change.
type Server struct {
	Home   string
	State  home.State
	Config home.Config
	Layout home.Layout
	Moves  map[string]string // path prefixes, old to new
}

// Source is where rows come from. The files of activated repositories are a table
// in memory of it.
type Source struct {
	*copies.Set
	Moved    int64    // paths in the metadata files that were rewritten
	Dangling []string // activated repositories without a folder
}

// Close ends what is read; a source that was not opened is closed.
func (s *Source) Close() {
	if s != nil {
		s.Set.Close()
	}
}

// Table is one of the source's, not matched to one of PostgreSQL yet.
func (s *Source) Table(entry cidx.Table, from sqlite.Table) *load.Table {
	return &load.Table{Name: entry.Name, File: entry.File, Conn: s.Files[entry.File], From: from}
}

// HasSnapshot reports whether the backup step has left its copies.
func (s Server) HasSnapshot() bool {
	for _, f := range cidx.DatabaseFiles() {
		if f.Migrates && f.Required {
			if _, err := os.Stat(s.State.Snapshot(f.Path)); err != nil {
				return false
			}
		}
	}
	return true
}

// Snapshot opens the copies that the backup step took after the stop.
func (s Server) Snapshot(ctx context.Context) (*Source, error) {
	var problems problem.List
	for _, f := range cidx.DatabaseFiles() {
		at := s.State.Snapshot(f.Path)
		if f.Migrates && !exists(at) && (f.Required || exists(filepath.Join(s.Home, f.Path))) {
			problems = append(problems, problem.Problem{What: "no private snapshot of " + f.Path, At: at,
				Fix: "run the backup step (cidx_backup) after the server is stopped"})
		}
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return s.open(ctx, copies.Open(s.State.Snapshot("")))
}

// Copies takes copies of its own of the files that the server uses.
func (s Server) Copies(ctx context.Context) (*Source, error) {
	dir, err := scratch.New(copies.Kind)
	if err != nil {
		return nil, err
	}
	set := copies.Open(dir.Path)
	set.Scratch = dir
	return s.copyInto(ctx, set)
}

// Warm takes the copies that a warm load is made from. They stay in the state
// folder, so that what changes later can be told from them.
func (s Server) Warm(ctx context.Context) (*Source, error) {
	if err := os.RemoveAll(s.State.Warm()); err != nil {
		return nil, fmt.Errorf("remove the copies of an earlier warm load: %w", err)
	}
	if err := durable.MakeFolder(s.State.Warm()); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.State.Warm(), "")
	if err != nil {
		return nil, fmt.Errorf("make folder for copies: %w", err)
	}
	source, err := s.copyInto(ctx, copies.Open(dir))
	problems := problem.Of(err)
	for i := range problems {
		if strings.HasPrefix(problems[i].At, dir) {
			problems[i].Fix = "free space in the server's state folder (cidx_state_dir)"
		}
	}
	return source, problems.Err()
}

// copyInto takes copies of the files that the server uses.
func (s Server) copyInto(ctx context.Context, set *copies.Set) (*Source, error) {
	set.Temporary = true
	var problems problem.List
	for _, f := range cidx.DatabaseFiles() {
		from := filepath.Join(s.Home, f.Path)
		if f.Migrates && (f.Required || exists(from)) {
			problems.Add(sqlite.Copy(ctx, from, filepath.Join(set.Dir, f.Path)))
		}
	}
	if err := problems.Err(); err != nil {
		set.Close()
		return nil, err
	}
	return s.open(ctx, set)
}

// open opens every copy, and reads what there is of activated repositories.
func (s Server) open(ctx context.Context, set *copies.Set) (*Source, error) {
	var problems problem.List
	for _, f := range cidx.DatabaseFiles() {
		if f.Migrates && exists(filepath.Join(set.Dir, f.Path)) {
			problems.Add(set.Add(ctx, f.Path, filepath.Join(s.Home, f.Path)))
		}
	}
	source := &Source{Set: set}
	err := problems.Err()
	if tree, ok := s.Layout.Tree(cidx.ActivatedRepos); ok && err == nil {
		err = s.activated(source, tree)
	}
	if err != nil {
		set.Close()
		return nil, err
	}
	return source, nil
}

func (s Server) activated(source *Source, tree home.Tree) error {
	conn, err := sqlite.Memory()
	if err != nil {
		return err
	}
	source.Files[cidx.Activated] = conn
	rel, err := filepath.Rel(s.Home, tree.Link)
	if err != nil {
		return err // a tree lies below its home by definition
	}
	found := activated{folder: filepath.Join(home.ServerDir(s.Home, s.Config), rel), moves: s.Moves}
	err = found.read(conn, tree)
	if err == nil {
		source.Moved, source.Dangling = found.moved, found.dangling
		source.Tables[cidx.Activated], err = conn.Tables()
	}
	return err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil || !errors.Is(err, fs.ErrNotExist)
}
