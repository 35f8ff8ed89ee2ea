package main

import (
	"fmt"
	"runtime"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// nobody is whom file servers take for a squashed root.
const nobody = 65534

// squash does every operation with the rights of its caller, and root's with
// nobody's. The folder behind it is judged by the kernel: each operation runs
// on a thread that has become that user for files.
type squash struct {
	fuse.RawFileSystem
}

func newSquash(files fuse.RawFileSystem) (*squash, error) {
	if err := unix.Setgroups(nil); err != nil { // group 0 would open doors
		return nil, fmt.Errorf("drop groups: %w", err)
	}
	return &squash{files}, nil
}

// as makes this thread the caller until the answer is called.
func as(header *fuse.InHeader) (back func()) {
	if header.Uid == 0 {
		header.Uid, header.Gid = nobody, nobody
	}
	runtime.LockOSThread()
	_ = unix.Setfsgid(int(header.Gid)) // neither says whether it succeeded;
	_ = unix.Setfsuid(int(header.Uid)) // root may do both
	return func() {
		_ = unix.Setfsuid(0)
		_ = unix.Setfsgid(0)
		runtime.UnlockOSThread()
	}
}

func (s *squash) Lookup(cancel <-chan struct{}, header *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	defer as(header)()
	return s.RawFileSystem.Lookup(cancel, header, name, out)
}

func (s *squash) GetAttr(cancel <-chan struct{}, input *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	defer as(&input.InHeader)()
	return s.RawFileSystem.GetAttr(cancel, input, out)
}

func (s *squash) SetAttr(cancel <-chan struct{}, input *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	defer as(&input.InHeader)()
	return s.RawFileSystem.SetAttr(cancel, input, out)
}

func (s *squash) Access(cancel <-chan struct{}, input *fuse.AccessIn) fuse.Status {
	defer as(&input.InHeader)()
	return s.RawFileSystem.Access(cancel, input)
}

func (s *squash) Mknod(cancel <-chan struct{}, input *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	defer as(&input.InHeader)()
	return s.RawFileSystem.Mknod(cancel, input, name, out)
}

func (s *squash) Mkdir(cancel <-chan struct{}, input *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	defer as(&input.InHeader)()
	return s.RawFileSystem.Mkdir(cancel, input, name, out)
}

func (s *squash) Unlink(cancel <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	defer as(header)()
	return s.RawFileSystem.Unlink(cancel, header, name)
}

func (s *squash) Rmdir(cancel <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	defer as(header)()
	return s.RawFileSystem.Rmdir(cancel, header, name)
}

func (s *squash) Rename(cancel <-chan struct{}, input *fuse.RenameIn, from, to string) fuse.Status {
	defer as(&input.InHeader)()
	return s.RawFileSystem.Rename(cancel, input, from, to)
}

func (s *squash) Link(cancel <-chan struct{}, input *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	defer as(&input.InHeader)()
	return s.RawFileSystem.Link(cancel, input, name, out)
}

func (s *squash) Symlink(cancel <-chan struct{}, header *fuse.InHeader, to, name string, out *fuse.EntryOut) fuse.Status {
	defer as(header)()
	return s.RawFileSystem.Symlink(cancel, header, to, name, out)
}

func (s *squash) Readlink(cancel <-chan struct{}, header *fuse.InHeader) ([]byte, fuse.Status) {
	defer as(header)()
	return s.RawFileSystem.Readlink(cancel, header)
}

func (s *squash) Create(cancel <-chan struct{}, input *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	defer as(&input.InHeader)()
	return s.RawFileSystem.Create(cancel, input, name, out)
}

func (s *squash) Open(cancel <-chan struct{}, input *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	defer as(&input.InHeader)()
	return s.RawFileSystem.Open(cancel, input, out)
}

func (s *squash) OpenDir(cancel <-chan struct{}, input *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	defer as(&input.InHeader)()
	return s.RawFileSystem.OpenDir(cancel, input, out)
}

func (s *squash) ReadDirPlus(cancel <-chan struct{}, input *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	defer as(&input.InHeader)()
	return s.RawFileSystem.ReadDirPlus(cancel, input, out)
}
