package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	lib "modernc.org/sqlite/lib"

	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/regular"
)

// copyAttempts is how often Copy tries to catch a file that does not change.
const copyAttempts = 20

// patience is how many of them a rollback journal is given to go away: a
// writer's does within moments, that of a writer that died stays.
const patience = 6

// Ways out that several problems have.
const (
	space    = "free space in the folder for temporary files (cidx_helper_dir)"
	readable = "make the file readable for the user that runs the migration"
)

// Copy makes a private copy of a database and its -wal that may be in use. It
// takes no lock and writes nothing beside the source (even a read-only open of
// a WAL database may create files there). A copy is good when the main file,
// its rollback journal and the start of the log did not change meanwhile:
// writers of a WAL database only append to the log, and a half-written end of
// it counts for nothing. A transaction that was not finished (the journal is
// hot) is rolled back in the copy. The error is a problem.Problem.
func Copy(ctx context.Context, from, to string) error {
	if err := checkHeader(from, from); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("make folder for copies: %w", err)
	}
	for attempt := range copyAttempts {
		before, err := footprint(from)
		if err != nil {
			return err
		}
		if !before.hot || attempt >= patience {
			after, err := copyFiles(ctx, from, to, before.hot)
			if err != nil {
				return err
			}
			if before == after {
				if !before.hot {
					return nil
				}
				return rollBack(to, from)
			}
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
	return problem.Problem{What: "the database changes faster than it can be copied", At: from,
		Fix: "run the rehearsal at a quieter time; the real run stops the server first"}
}

// copyFiles copies a database with what belongs to it, and looks at the source
// again.
func copyFiles(ctx context.Context, from, to string, hot bool) (after print, err error) {
	suffixes := []string{"", "-wal"}
	if hot {
		suffixes = append(suffixes, "-journal")
	} else if err := os.Remove(to + "-journal"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return after, fmt.Errorf("remove old copy: %w", err)
	}
	for _, suffix := range suffixes {
		if err := copyFile(ctx, from+suffix, to+suffix); err != nil {
			return after, err
		}
	}
	return footprint(from)
}

func pause(ctx context.Context, attempt int) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(20*(attempt+1)) * time.Millisecond):
		return nil
	}
}

// print is what must not change while a database is copied.
type print struct {
	size, modified int64
	log            [32]byte // the header of the -wal: its salts change at every restart
	hot            bool     // a rollback journal that has to be played back
	way            [2]int64 // its size and time, if so
}

func footprint(path string) (p print, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return p, fmt.Errorf("stat database: %w", err)
	}
	p.size, p.modified = info.Size(), info.ModTime().UnixNano()
	log, err := regular.Open(path + "-wal")
	if err == nil {
		_, err = io.ReadFull(log, p.log[:])
		log.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return p, problem.Problem{What: "read write-ahead log: " + err.Error(), At: path + "-wal", Fix: readable}
	}
	if p.hot, err = HasHotJournal(path); err == nil && p.hot {
		if info, err := os.Stat(path + "-journal"); err == nil { // else it has just gone
			p.way = [2]int64{info.Size(), info.ModTime().UnixNano()}
		}
	}
	return p, err
}

// HasHotJournal reports whether a writer died in the middle of a transaction on
// the database at path, so that its file alone is half old and half new: it has a
// rollback journal whose header is not zeroed.
func HasHotJournal(path string) (bool, error) {
	path += "-journal"
	f, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, problem.Problem{What: "read rollback journal: " + err.Error(), At: path, Fix: readable}
	}
	defer f.Close()
	head := make([]byte, 8)
	if _, err := io.ReadFull(f, head); err != nil {
		return false, nil
	}
	return head[0] != 0, nil
}

// Recover copies a database with its hot journal to another place and rolls the
// unfinished transaction back there. Messages call the database name.
func Recover(ctx context.Context, from, to, name string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("make folder for copies: %w", err)
	}
	if _, err := copyFiles(ctx, from, to, true); err != nil {
		return err
	}
	return rollBack(to, name)
}

// rollBack has SQLite play back the hot journal of a private copy.
func rollBack(path, name string) error {
	c, err := open(path, path, name, lib.SQLITE_OPEN_READWRITE)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Exec("SELECT 1 FROM sqlite_master LIMIT 1"); err != nil {
		return err
	}
	if left, err := HasHotJournal(path); left || err != nil {
		return problem.Problem{What: "its rollback journal cannot be played back", At: name,
			Fix: "restore the database from a backup, and move the -journal file beside it away"}
	}
	return nil
}

// copyFile copies one file; one that does not exist leaves none behind.
func copyFile(ctx context.Context, from, to string) error {
	in, err := regular.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove old copy: %w", err)
		}
		return nil
	}
	if err != nil {
		return problem.Problem{What: err.Error(), At: from, Fix: readable}
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create copy: %w", err)
	}
	defer context.AfterFunc(ctx, func() { in.Close() })()
	_, err = io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{in}, make([]byte, 1<<20))
	if closing := out.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return problem.Problem{What: "copy database: " + err.Error(), At: to, Fix: space}
	}
	return nil
}
