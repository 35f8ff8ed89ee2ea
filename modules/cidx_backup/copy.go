package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/beneath"
	"cidx-cluster/modules/internal/kept"
	"cidx-cluster/modules/internal/problem"
)

// errMoved is returned when a source changes while it is copied.
var errMoved = errors.New("it changed while it was copied")

// spot is a file below an open folder.
type spot struct {
	dir *beneath.Folder
	rel string
}

func (s spot) String() string { return s.dir.Path(s.rel) }

// copyFile copies from to to, which must not exist, and answers with what was
// copied. The copy is synced, read back and hashed; the source is proven not to
// have changed meanwhile. Where the file system can, blocks are shared.
func copyFile(from, to spot) (kept.Source, error) {
	in, err := from.dir.Read(from.rel)
	if err != nil {
		return kept.Source{}, fmt.Errorf("copy: %w", err)
	}
	defer in.Close()
	before, err := in.Stat()
	if err != nil {
		return kept.Source{}, fmt.Errorf("copy: %w", err)
	}
	out, err := create(to)
	if err != nil {
		return kept.Source{}, full(err, to.String())
	}
	defer out.Close()
	sum, err := transfer(in, out)
	if err != nil {
		return kept.Source{}, full(err, to.String())
	}
	after, err := from.dir.Lstat(from.rel)
	if err != nil || !unchanged(before, after) {
		return kept.Source{}, fmt.Errorf("copy %s: %w", from, errors.Join(errMoved, err))
	}
	var synced errgroup.Group
	synced.Go(out.Sync)
	back, err := kept.Hash(to.dir, to.rel)
	if err := synced.Wait(); err != nil {
		return kept.Source{}, full(err, to.String())
	}
	if err != nil || back != sum {
		return kept.Source{}, fmt.Errorf("copy %s: read back differs: %w", from, errors.Join(err, io.ErrUnexpectedEOF))
	}
	s := kept.Describe(before)
	s.SHA256 = sum
	return s, out.Close()
}

// create makes a new file, mode 0600, and the folders that it needs.
func create(at spot) (file *os.File, err error) {
	err = at.dir.Make(at.rel, func(dir *os.Root, name string) (err error) {
		file, err = dir.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
		return err
	})
	return file, err
}

// transfer copies and hashes the source's bytes.
func transfer(in, out *os.File) (string, error) {
	h := sha256.New()
	if unix.IoctlFileClone(int(out.Fd()), int(in.Fd())) == nil {
		if _, err := io.Copy(h, in); err != nil {
			return "", err
		}
	} else if _, err := io.Copy(io.MultiWriter(out, h), in); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// full explains a disk that is full.
func full(err error, path string) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return problem.Problem{What: err.Error(), At: path,
			Fix: "free space there, or name another disk in cidx_state_dir; the server's data is untouched"}
	}
	return fmt.Errorf("copy to %s: %w", path, err)
}

// unchanged compares what a writer cannot leave alone.
func unchanged(a, b os.FileInfo) bool {
	x, ok1 := a.Sys().(*syscall.Stat_t)
	y, ok2 := b.Sys().(*syscall.Stat_t)
	return ok1 && ok2 && x.Ino == y.Ino && x.Dev == y.Dev && x.Size == y.Size && x.Mtim == y.Mtim && x.Ctim == y.Ctim
}
