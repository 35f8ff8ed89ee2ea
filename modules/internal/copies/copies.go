// Package copies opens private copies of SQLite databases to read rows from: it
// recovers what a killed server has left, checks their structure, and tells
// whether anybody has touched them.
package copies

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/regular"
	"cidx-cluster/modules/internal/scratch"
	"cidx-cluster/modules/internal/sqlite"
)

// Kind is what folders with temporary copies of databases are called.
const Kind = "cidx-database"

// Set are the copies of the databases of one server.
type Set struct {
	Dir       string                    // holds them by their path below the home
	Temporary bool                      // taken for this call while the server may run
	Scratch   scratch.Folder            // folder that goes with the set; made when needed
	Files     map[string]*sqlite.Conn   // by path below the home
	Tables    map[string][]sqlite.Table // the same
	stamps    map[string]Stamp
	sum       hash.Hash
}

// Open is the set in a folder, without any database.
func Open(dir string) *Set {
	return &Set{Dir: dir, Files: map[string]*sqlite.Conn{}, Tables: map[string][]sqlite.Table{},
		stamps: map[string]Stamp{}, sum: sha256.New()}
}

// Close ends what is read, and removes what was temporary.
func (s *Set) Close() {
	for _, c := range s.Files {
		c.Close()
	}
	s.Scratch.Remove()
}

// ID changes whenever the copies do.
func (s *Set) ID() string { return hex.EncodeToString(s.sum.Sum(nil)) }

// Add opens the copy of a database, and lists its tables. Messages call it name.
func (s *Set) Add(ctx context.Context, rel, name string) error {
	path := filepath.Join(s.Dir, rel)
	fmt.Fprintf(s.sum, "%s\n", rel)
	if err := sqlite.Fingerprint(s.sum, path); err != nil {
		return err
	}
	return s.mention(s.open(ctx, rel, path, name), path)
}

// mention adds to a problem of a database the place of the copy where it was
// seen, unless that is gone when the operator reads it.
func (s *Set) mention(err error, path string) error {
	if err == nil || s.Temporary {
		return err
	}
	problems := problem.Of(err)
	for i := range problems {
		problems[i].What += " (seen in the private copy " + path + ")"
	}
	return problems
}

func (s *Set) open(ctx context.Context, rel, path, name string) error {
	hot, err := sqlite.HasHotJournal(path)
	if err != nil {
		return err
	}
	if hot {
		if s.Scratch.Path == "" {
			if s.Scratch, err = scratch.New(Kind); err != nil {
				return err
			}
		}
		recovered := filepath.Join(s.Scratch.Path, "recovered", rel)
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
	s.Files[rel] = conn
	s.Tables[rel], err = conn.Tables()
	return err
}

// Unchanged is an error if a copy was touched since it was opened.
func (s *Set) Unchanged() error {
	var problems problem.List
	for path, before := range s.stamps {
		if stampOf(path).written() != before {
			problems = append(problems, problem.Problem{What: "the copy changed while it was read", At: path,
				Fix: "find out what writes there, then run the backup step and this one again"})
		}
	}
	return problems.Err()
}

// Stamp tells whether a copy was touched.
type Stamp struct {
	Size    int64  `json:"size"`
	Time    int64  `json:"mtime"`
	Changed int64  `json:"ctime"`
	Inode   uint64 `json:"inode"`
}

// written is a stamp that only writing changes. SQLite, run by root, gives a log to
// its owner again when it opens it.
func (s Stamp) written() Stamp { return Stamp{Size: s.Size, Time: s.Time} }

// stampOf does not tell an absent file from an empty one: SQLite makes an empty
// -wal beside a WAL database that it opens read-only.
func stampOf(path string) Stamp {
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 {
		return Stamp{}
	}
	s := Stamp{Size: info.Size(), Time: info.ModTime().UnixNano()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.Changed, s.Inode = sys.Ctim.Nano(), sys.Ino
	}
	return s
}

// Stamps stamps every file below a folder, by its path there. They are on the disk
// then, so that they survive whatever a record of the stamps does.
func Stamps(dir string) (map[string]Stamp, error) {
	stamps := map[string]Stamp{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return durable.SyncFolder(path)
		}
		f, err := regular.Open(path)
		if err != nil {
			return err
		}
		if s := stampOf(path); s != (Stamp{}) {
			stamps[strings.TrimPrefix(path, dir)] = s
		}
		return errors.Join(f.Sync(), f.Close())
	})
	return stamps, err
}

// Integrity has SQLite check the structure of every copy; begin is called with the
// name of each.
func (s *Set) Integrity(ctx context.Context, begin func(file string)) error {
	return s.check(ctx, math.MaxInt64, begin)
}

// smallFile is up to which size a database is checked again in a real run. The
// rehearsal checks all; a large one would cost more time than loading it.
const smallFile = 64 << 20

// CheckSmall checks the small databases beside what else is going on. The function
// that it returns waits for the result.
func (s *Set) CheckSmall(ctx context.Context) func() error {
	check := sync.OnceValue(func() error { return s.check(ctx, smallFile, func(string) {}) })
	go check() //nolint:errcheck // who waits gets it
	return check
}

// check has SQLite check the copies up to a size, on connections of its own: others
// may read the copies meanwhile.
func (s *Set) check(ctx context.Context, most int64, begin func(file string)) error {
	var problems problem.List
	for file, c := range s.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if stamp, isFile := s.stamps[c.Path()]; !isFile || stamp.Size > most {
			continue // what was built from files lies in memory
		}
		begin(file)
		problems.Add(quickCheck(c.Path(), c.Name()))
	}
	return problems.Err()
}

func quickCheck(path, name string) error {
	conn, err := sqlite.OpenCopy(path, name)
	if err != nil {
		return err
	}
	defer conn.Close()
	faults, err := conn.QuickCheck(5)
	if err != nil {
		return err
	}
	if len(faults) > 0 {
		return problem.Problem{What: "the database is damaged: " + strings.Join(faults, "; "), At: name,
			Fix: "restore a backup of it, or repair it with the server stopped (sqlite3 FILE .recover), then migrate again"}
	}
	return nil
}
