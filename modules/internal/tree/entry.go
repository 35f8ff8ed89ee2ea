// Package tree looks at folder trees: it walks them fast and in parallel, and
// tells what every entry is.
//
// Reading never changes a tree, not even access times where the kernel lets us
// open without them. Paths of entries are relative to the tree's root, "" for
// the root itself, with "/" between names; names are bytes and may hold
// anything but "/" and NUL.
package tree

import (
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// Entry is one name of a folder, as lstat saw it.
type Entry struct {
	Name   string
	Mode   uint32 // st_mode, type bits included
	UID    uint32
	GID    uint32
	Size   int64  // bytes
	Mtime  int64  // ns since 1970
	Ctime  int64  // ns since 1970
	Dev    uint64 // not kept in manifests: it changes with a reboot
	Ino    uint64
	Nlink  uint64
	Blocks int64  // of 512 bytes; not kept in manifests
	Link   string // target of a symbolic link
}

// Type returns the type bits, unix.S_IFREG and so on.
func (e *Entry) Type() uint32 { return e.Mode & unix.S_IFMT }

// IsDir reports whether e is a folder.
func (e *Entry) IsDir() bool { return e.Type() == unix.S_IFDIR }

// IsRegular reports whether e is a regular file.
func (e *Entry) IsRegular() bool { return e.Type() == unix.S_IFREG }

// IsSymlink reports whether e is a symbolic link.
func (e *Entry) IsSymlink() bool { return e.Type() == unix.S_IFLNK }

// Sparse reports whether a file has holes worth keeping.
func (e *Entry) Sparse() bool {
	const page = 4096
	return e.IsRegular() && e.Size > 16*page && e.Blocks*512 < e.Size-e.Size/8
}

// Perm returns the permission bits with setuid, setgid and sticky.
func (e *Entry) Perm() uint32 { return e.Mode & 0o7777 }

// Kind names the type for messages.
func (e *Entry) Kind() string {
	switch e.Type() {
	case unix.S_IFREG:
		return "file"
	case unix.S_IFDIR:
		return "folder"
	case unix.S_IFLNK:
		return "symbolic link"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFIFO:
		return "pipe"
	case unix.S_IFCHR, unix.S_IFBLK:
		return "device"
	}
	return "special file"
}

// Differs says in which way the copy c differs from e: kind, size, mode, owner,
// mtime or link target, with both values; "" if in none. Granularity is the
// copy's precision of times in ns (1 where full). Sizes of folders mean nothing
// and are not compared.
func (e *Entry) Differs(c *Entry, granularity int64) string {
	switch {
	case e.Type() != c.Type():
		return fmt.Sprintf("%s, not %s", c.Kind(), e.Kind())
	case e.IsRegular() && e.Size != c.Size:
		return fmt.Sprintf("size %d, not %d", c.Size, e.Size)
	case e.IsSymlink() && e.Link != c.Link:
		return fmt.Sprintf("points to %q, not %q", c.Link, e.Link)
	case !e.IsSymlink() && e.Perm() != c.Perm():
		return fmt.Sprintf("mode %04o, not %04o", c.Perm(), e.Perm())
	case e.UID != c.UID || e.GID != c.GID:
		return fmt.Sprintf("owner %d:%d, not %d:%d", c.UID, c.GID, e.UID, e.GID)
	case !SameTime(e.Mtime, c.Mtime, granularity):
		return fmt.Sprintf("mtime %d ns, not %d ns", c.Mtime, e.Mtime)
	}
	return ""
}

// SameTime reports whether a file system that keeps times to granularity ns
// would show want as got.
func SameTime(want, got, granularity int64) bool {
	if want == got {
		return true
	}
	return granularity > 1 && want-want%granularity == got-got%granularity
}

// Dir is a folder with its entries, sorted by name.
type Dir struct {
	Path    string // relative to the root
	Self    Entry
	Entries []Entry
	Partial bool // it has more: skipped, or unreadable
	Kept    bool // not read again: it has the names that Options.Known gave
	Same    bool // and its attributes and entries are those as well
}

// Join is path.Join for a folder's path and one name of it, without cleaning:
// names are bytes.
func Join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// Parent returns the path of the folder that holds p, and p's name.
func Parent(p string) (dir, name string) {
	dir, name = path.Split(p)
	if dir != "" {
		dir = dir[:len(dir)-1]
	}
	return dir, name
}

// Lstat reads one entry below an open folder; path may have several elements.
// The target of a symbolic link is read too.
func Lstat(at int, path string) (Entry, error) {
	e, err := lstat(at, path)
	if err != nil || !e.IsSymlink() {
		return e, err
	}
	e.Link, err = Readlink(at, path)
	return e, err
}

func lstat(at int, path string) (Entry, error) {
	var st unix.Stat_t
	for {
		err := unix.Fstatat(at, path, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == nil {
			_, name := Parent(path)
			return fromStat(name, &st), nil
		}
		if err != unix.EINTR {
			return Entry{}, err
		}
	}
}

// Fstat reads the entry of an open file; it has no name.
func Fstat(fd int) (Entry, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Entry{}, err
	}
	return fromStat("", &st), nil
}

func fromStat(name string, st *unix.Stat_t) Entry {
	return Entry{
		Name: name, Mode: st.Mode, UID: st.Uid, GID: st.Gid, Size: st.Size,
		Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano(), Dev: uint64(st.Dev), Ino: st.Ino, //nolint:unconvert // differs by architecture
		Nlink: uint64(st.Nlink), Blocks: st.Blocks, //nolint:unconvert // differs by architecture
	}
}

// Readlink reads the target of a symbolic link of any length.
func Readlink(at int, path string) (string, error) {
	for size := 256; ; size *= 2 {
		buffer := make([]byte, size)
		n, err := unix.Readlinkat(at, path, buffer)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return "", err
		}
		if n < size {
			return string(buffer[:n]), nil
		}
	}
}
