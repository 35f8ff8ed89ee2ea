package main

import (
	"runtime"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// nobody is the user and the group that root becomes.
const nobody = 65534

// squashed serves each request with the rights of whoever asks, root as nobody.
// What goes by an open file needs none any more.
type squashed struct {
	fuse.RawFileSystem
}

// as does one operation as the caller, in this thread alone. Leaving user 0
// takes its power over files from the thread, coming back restores it.
func as(header *fuse.InHeader, do func() fuse.Status) fuse.Status {
	if header.Uid == 0 {
		header.Uid = nobody
	}
	if header.Gid == 0 {
		header.Gid = nobody
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	become := func(uid, gid int) error {
		if err := unix.Setfsgid(gid); err != nil {
			return err
		}
		return unix.Setfsuid(uid)
	}
	if err := become(int(header.Uid), int(header.Gid)); err != nil {
		return fuse.ToStatus(err)
	}
	status := do()
	if err := become(0, 0); err != nil {
		panic(err) // the thread would serve others with the wrong rights
	}
	return status
}

func (s squashed) Lookup(cancel <-chan struct{}, header *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return as(header, func() fuse.Status { return s.RawFileSystem.Lookup(cancel, header, name, out) })
}

func (s squashed) GetAttr(cancel <-chan struct{}, input *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return as(&input.InHeader, func() fuse.Status { return s.RawFileSystem.GetAttr(cancel, input, out) })
}

func (s squashed) SetAttr(cancel <-chan struct{}, input *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	return as(&input.InHeader, func() fuse.Status { return s.RawFileSystem.SetAttr(cancel, input, out) })
}

func (s squashed) Mknod(cancel <-chan struct{}, input *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	return as(&input.InHeader, func() fuse.Status { return s.RawFileSystem.Mknod(cancel, input, name, out) })
}

func (s squashed) Mkdir(cancel <-chan struct{}, input *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return as(&input.InHeader, func() fuse.Status { return s.RawFileSystem.Mkdir(cancel, input, name, out) })
}

func (s squashed) Unlink(cancel <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	return as(header, func() fuse.Status { return s.RawFileSystem.Unlink(cancel, header, name) })
}

func (s squashed) Rmdir(cancel <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	return as(header, func() fuse.Status { return s.RawFileSystem.Rmdir(cancel, header, name) })
}

func (s squashed) Rename(cancel <-chan struct{}, input *fuse.RenameIn, from, to string) fuse.Status {
	return as(&input.InHeader, func() fuse.Status { return s.RawFileSystem.Rename(cancel, input, from, to) })
}

func (s squashed) Link(cancel <-chan struct{}, input *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return as(&input.InHeader, func() fuse.Status { return s.RawFileSystem.Link(cancel, input, name, out) })
}

func (s squashed) Symlink(cancel <-chan struct{}, header *fuse.InHeader, to, name string, out *fuse.EntryOut) fuse.Status {
	return as(header, func() fuse.Status { return s.RawFileSystem.Symlink(cancel, header, to, name, out) })
}

func (s squashed) Readlink(cancel <-chan struct{}, header *fuse.InHeader) (out []byte, status fuse.Status) {
	status = as(header, func() fuse.Status {
		var inner fuse.Status
		out, inner = s.RawFileSystem.Readlink(cancel, header)
		return inner
	})
	return out, status
}

func (s squashed) Access(cancel <-chan struct{}, input *fuse.AccessIn) fuse.Status {
	return as(&input.InHeader, func() fuse.Status { return s.RawFileSystem.Access(cancel, input) })
}

func (s squashed) Create(cancel <-chan struct{}, input *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return as(&input.InHeader, func() fuse.Status { return s.RawFileSystem.Create(cancel, input, name, out) })
}

func (s squashed) Tmpfile(cancel <-chan struct{}, input *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	return as(&input.InHeader, func() fuse.Status { return s.RawFileSystem.Tmpfile(cancel, input, out) })
}

func (s squashed) Open(cancel <-chan struct{}, input *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return as(&input.InHeader, func() fuse.Status { return s.RawFileSystem.Open(cancel, input, out) })
}

func (s squashed) OpenDir(cancel <-chan struct{}, input *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return as(&input.InHeader, func() fuse.Status { return s.RawFileSystem.OpenDir(cancel, input, out) })
}

func (s squashed) ReadDirPlus(cancel <-chan struct{}, input *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return as(&input.InHeader, func() fuse.Status { return s.RawFileSystem.ReadDirPlus(cancel, input, out) })
}

func (s squashed) StatFs(cancel <-chan struct{}, input *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	return as(input, func() fuse.Status { return s.RawFileSystem.StatFs(cancel, input, out) })
}
