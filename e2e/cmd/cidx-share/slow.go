package main

import (
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// operation is a kind of request.
type operation int

const (
	lookup operation = iota
	setattr
	mknod
	mkdir
	unlink
	rmdir
	rename
	link
	symlink
	readlink
	create
	open
	read
	write
	flush
	fsync
	opendir
	readdir
	statfs
	operations
)

func (o operation) String() string {
	return [...]string{"lookup", "setattr", "mknod", "mkdir", "unlink", "rmdir", "rename", "link", "symlink", "readlink",
		"create", "open", "read", "write", "flush", "fsync", "opendir", "readdir", "statfs"}[o]
}

// slow delays and counts the operations of a file system. Free are: asking for
// attributes, and whatever the kernel does not wait for (release, forget).
type slow struct {
	fuse.RawFileSystem
	delay  time.Duration
	counts [operations]atomic.Int64
}

// cost counts an operation and waits. Go's own timers are too coarse for half a
// millisecond when nothing else runs.
func (s *slow) cost(o operation) {
	s.counts[o].Add(1)
	if s.delay <= 0 {
		return
	}
	left := unix.NsecToTimespec(int64(s.delay))
	for unix.Nanosleep(&left, &left) == unix.EINTR {
	}
}

func (s *slow) Lookup(cancel <-chan struct{}, header *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	s.cost(lookup)
	return s.RawFileSystem.Lookup(cancel, header, name, out)
}

func (s *slow) SetAttr(cancel <-chan struct{}, input *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	s.cost(setattr)
	return s.RawFileSystem.SetAttr(cancel, input, out)
}

func (s *slow) Mknod(cancel <-chan struct{}, input *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	s.cost(mknod)
	return s.RawFileSystem.Mknod(cancel, input, name, out)
}

func (s *slow) Mkdir(cancel <-chan struct{}, input *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	s.cost(mkdir)
	return s.RawFileSystem.Mkdir(cancel, input, name, out)
}

func (s *slow) Unlink(cancel <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	s.cost(unlink)
	return s.RawFileSystem.Unlink(cancel, header, name)
}

func (s *slow) Rmdir(cancel <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	s.cost(rmdir)
	return s.RawFileSystem.Rmdir(cancel, header, name)
}

func (s *slow) Rename(cancel <-chan struct{}, input *fuse.RenameIn, from, to string) fuse.Status {
	s.cost(rename)
	return s.RawFileSystem.Rename(cancel, input, from, to)
}

func (s *slow) Link(cancel <-chan struct{}, input *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	s.cost(link)
	return s.RawFileSystem.Link(cancel, input, name, out)
}

func (s *slow) Symlink(cancel <-chan struct{}, header *fuse.InHeader, to, name string, out *fuse.EntryOut) fuse.Status {
	s.cost(symlink)
	return s.RawFileSystem.Symlink(cancel, header, to, name, out)
}

func (s *slow) Readlink(cancel <-chan struct{}, header *fuse.InHeader) ([]byte, fuse.Status) {
	s.cost(readlink)
	return s.RawFileSystem.Readlink(cancel, header)
}

func (s *slow) Create(cancel <-chan struct{}, input *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	s.cost(create)
	return s.RawFileSystem.Create(cancel, input, name, out)
}

func (s *slow) Open(cancel <-chan struct{}, input *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	s.cost(open)
	return s.RawFileSystem.Open(cancel, input, out)
}

func (s *slow) Read(cancel <-chan struct{}, input *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	s.cost(read)
	return s.RawFileSystem.Read(cancel, input, buf)
}

func (s *slow) Write(cancel <-chan struct{}, input *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	s.cost(write)
	return s.RawFileSystem.Write(cancel, input, data)
}

func (s *slow) Writev(cancel <-chan struct{}, input *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	n, status := s.RawFileSystem.Writev(cancel, input, data)
	if status != fuse.ENOSYS { // otherwise Write is asked instead
		s.cost(write)
	}
	return n, status
}

func (s *slow) Flush(cancel <-chan struct{}, input *fuse.FlushIn) fuse.Status {
	s.cost(flush)
	return s.RawFileSystem.Flush(cancel, input)
}

func (s *slow) Fsync(cancel <-chan struct{}, input *fuse.FsyncIn) fuse.Status {
	s.cost(fsync)
	return s.RawFileSystem.Fsync(cancel, input)
}

func (s *slow) OpenDir(cancel <-chan struct{}, input *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	s.cost(opendir)
	return s.RawFileSystem.OpenDir(cancel, input, out)
}

func (s *slow) ReadDir(cancel <-chan struct{}, input *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	s.cost(readdir)
	return s.RawFileSystem.ReadDir(cancel, input, out)
}

func (s *slow) ReadDirPlus(cancel <-chan struct{}, input *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	s.cost(readdir)
	return s.RawFileSystem.ReadDirPlus(cancel, input, out)
}

func (s *slow) StatFs(cancel <-chan struct{}, input *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	s.cost(statfs)
	return s.RawFileSystem.StatFs(cancel, input, out)
}
