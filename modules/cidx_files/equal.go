package files

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/tree"
)

var errChanged = errors.New("source changed")

// equal compares an entry with its copy; why says how they differ. rest is set
// if the source had been at rest long enough that any later change shows.
func (p *pass) equal(path string, e *tree.Entry) (why string, rest bool, err error) {
	if !e.IsRegular() {
		c, err := p.target.lstat(path)
		if err != nil {
			return missing(err), true, nil
		}
		return e.Differs(&c, p.target.granularity), true, nil
	}
	fd, err := openRead(p.target.dir, path)
	if err != nil {
		if why := missing(err); why != "" {
			return why, true, nil
		}
		return "", false, fault("read", p.target.path(path), err)
	}
	copied := os.NewFile(uintptr(fd), p.target.path(path))
	defer copied.Close()
	c, err := tree.Fstat(fd)
	if err != nil {
		return "", false, fault("read", p.target.path(path), err)
	}
	if why := e.Differs(&c, p.target.granularity); why != "" {
		return why, true, nil
	}
	// What this machine has just written must not be answered from its memory.
	_ = unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED) // a hint only
	rest = rested(e)
	why, err = p.equalFile(path, e, copied)
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

// openRead opens a file without following a link and, where we may, without
// touching its access time.
func openRead(root *tree.Root, path string) (fd int, err error) {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK
	err = root.At(path, func(at int, name string) error {
		for _, extra := range []int{unix.O_NOATIME, 0} {
			err = again(func() error { fd, err = unix.Openat(at, name, flags|extra, 0); return err })
			if !errors.Is(err, unix.EPERM) {
				break
			}
		}
		return err
	})
	return fd, err
}

// equalFile compares the contents of a source file with its copy.
func (p *pass) equalFile(path string, e *tree.Entry, copied *os.File) (string, error) {
	fd, err := openRead(p.source, path)
	if err != nil {
		if missing(err) != "" {
			return "", errChanged
		}
		return "", fault("read", filepath.Join(p.part.source, path), err)
	}
	original := os.NewFile(uintptr(fd), filepath.Join(p.part.source, path))
	defer original.Close()
	why, err := p.equalContent(original, copied, e.Size)
	if err != nil {
		return "", err
	}
	now, err := tree.Fstat(fd)
	if err != nil {
		return "", fault("read", original.Name(), err)
	}
	p.part.owners.adopt(&now)
	if !tree.SameSource(e, &now) {
		return "", errChanged
	}
	return why, nil
}

type pair struct{ a, b []byte }

var buffers = sync.Pool{New: func() any { return &pair{make([]byte, 256<<10), make([]byte, 256<<10)} }}

// equalContent compares size bytes of two readers.
func (p *pass) equalContent(a io.Reader, b *os.File, size int64) (string, error) {
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
			return "", fault("read", b.Name(), err)
		}
		if !bytes.Equal(two.a[:n], two.b[:n]) {
			return "content", nil
		}
		left -= int64(n)
		p.meter.compared.Add(int64(n))
		p.meter.moved()
	}
	return "", nil
}
