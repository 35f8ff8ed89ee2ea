package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/journal"
)

// errMoved is returned when a source changes while it is copied.
var errMoved = errors.New("it changed while it was copied")

// copyFile copies from to to, which must not exist, and answers with what was
// copied. The copy is synced, read back and hashed; the source is proven not to
// have changed meanwhile. Where the file system can, blocks are shared.
func copyFile(from, to string) (source, error) {
	in, err := os.Open(from)
	if err != nil {
		return source{}, fmt.Errorf("copy: %w", err)
	}
	defer in.Close()
	before, err := in.Stat()
	if err != nil {
		return source{}, fmt.Errorf("copy: %w", err)
	}
	if err := journal.MakeFolder(filepath.Dir(to)); err != nil {
		return source{}, err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return source{}, fmt.Errorf("copy: %w", err)
	}
	defer out.Close()
	sum, err := transfer(in, out)
	if err != nil {
		return source{}, full(err, to)
	}
	after, err := os.Lstat(from)
	if err != nil || !unchanged(before, after) {
		return source{}, fmt.Errorf("copy %s: %w", from, errors.Join(errMoved, err))
	}
	if back, err := hashFile(to); err != nil || back != sum {
		return source{}, fmt.Errorf("copy %s: read back differs: %w", from, errors.Join(err, io.ErrUnexpectedEOF))
	}
	s := sourceOf(before)
	s.SHA256 = sum
	return s, out.Close()
}

// sourceOf describes a file without its content.
func sourceOf(info os.FileInfo) source {
	s := source{Size: info.Size(), Mode: uint32(info.Mode().Perm()), Time: info.ModTime()}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		s.UID, s.GID = int(owner.Uid), int(owner.Gid)
	}
	return s
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
	if err := out.Sync(); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// full explains a disk that is full.
func full(err error, path string) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return cidx.Problem{What: err.Error(), At: path, Fix: "free space there, or name another disk in cidx_state_dir; the server's data is untouched"}
	}
	return fmt.Errorf("copy to %s: %w", path, err)
}

// unchanged compares what a writer cannot leave alone.
func unchanged(a, b os.FileInfo) bool {
	x, ok1 := a.Sys().(*syscall.Stat_t)
	y, ok2 := b.Sys().(*syscall.Stat_t)
	return ok1 && ok2 && x.Ino == y.Ino && x.Dev == y.Dev && x.Size == y.Size && x.Mtim == y.Mtim && x.Ctim == y.Ctim
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("hash: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("hash %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
