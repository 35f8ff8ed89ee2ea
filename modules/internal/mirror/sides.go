package mirror

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/destination"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// sides are both ends of a copy, open.
type sides struct {
	part   *Part
	source *tree.Root
	target *destination.Folder
	meter  *Meter
}

// original looks at an entry of the source as its copy will be.
func (s *sides) original(path string) (tree.Entry, error) {
	e, err := s.source.Lstat(path)
	s.part.Owners.Adopt(&e)
	return e, err
}

// changed reports whether an entry of the source is not what the look saw.
func (s *sides) changed(path string, e *tree.Entry) bool {
	now, err := s.original(path)
	return err != nil || !tree.SameSource(e, &now)
}

// whole reports whether a copy is all there, whatever its mode and owner. rsync
// sets the mtime when a file is complete.
func (s *sides) whole(e, c *tree.Entry) bool {
	return e.Type() == c.Type() && (!e.IsRegular() || e.Size == c.Size) && e.Link == c.Link &&
		tree.SameTime(e.Mtime, c.Mtime, s.target.Grain)
}

var errChanged = errors.New("source changed")

// equal compares an entry with its copy; why says how they differ. rest is set
// if the source had been at rest long enough that any later change shows.
func (s *sides) equal(path string, e *tree.Entry) (why string, rest bool, err error) {
	if !e.IsRegular() {
		c, err := s.target.Lstat(path)
		if err != nil {
			return missing(err), true, nil
		}
		return e.Differs(&c, s.target.Grain), true, nil
	}
	copied, err := s.target.Dir.OpenFile(path)
	if err != nil {
		if why := missing(err); why != "" {
			return why, true, nil
		}
		return "", false, share.Fault("read", s.target.Path(path), err)
	}
	defer copied.Close()
	fd := int(copied.Fd())
	c, err := tree.Fstat(fd)
	if err != nil {
		return "", false, share.Fault("read", s.target.Path(path), err)
	}
	if why := e.Differs(&c, s.target.Grain); why != "" {
		return why, true, nil
	}
	// What this machine has just written must not be answered from its memory.
	_ = unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED) // a hint only
	rest = time.Since(time.Unix(0, e.Ctime)) > racyWindow
	why, err = s.equalFile(path, e, copied)
	return why, rest, err
}

func missing(err error) string {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return "missing"
	}
	if errors.Is(err, unix.ELOOP) {
		return "a symbolic link"
	}
	return ""
}

// equalFile compares the contents of a source file with its copy.
func (s *sides) equalFile(path string, e *tree.Entry, copied *os.File) (string, error) {
	at := filepath.Join(s.part.Source, path)
	original, err := s.source.OpenFile(path)
	if err != nil {
		if missing(err) != "" {
			return "", errChanged
		}
		return "", share.Fault("read", at, err)
	}
	defer original.Close()
	why, err := s.equalContent(original, copied, e.Size)
	if errors.Is(err, errChanged) {
		return "", err
	}
	if err != nil {
		return "", share.Fault("read", s.target.Path(path), err)
	}
	now, err := tree.Fstat(int(original.Fd()))
	if err != nil {
		return "", share.Fault("read", at, err)
	}
	s.part.Owners.Adopt(&now)
	if !tree.SameSource(e, &now) {
		return "", errChanged
	}
	return why, nil
}

type pair struct{ a, b []byte }

var buffers = sync.Pool{New: func() any { return &pair{make([]byte, 256<<10), make([]byte, 256<<10)} }}

// equalContent compares size bytes of two readers.
func (s *sides) equalContent(a, b io.Reader, size int64) (string, error) {
	two := buffers.Get().(*pair)
	defer buffers.Put(two)
	for left := size; left > 0; {
		n := int(min(left, int64(len(two.a))))
		if _, err := io.ReadFull(a, two.a[:n]); err != nil {
			return "", errChanged // it has become shorter
		}
		if _, err := io.ReadFull(b, two.b[:n]); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return "shorter than its size says", nil
			}
			return "", err
		}
		if !bytes.Equal(two.a[:n], two.b[:n]) {
			return "content", nil
		}
		left -= int64(n)
		s.meter.compared.Add(int64(n))
		s.meter.Moved()
	}
	return "", nil
}
