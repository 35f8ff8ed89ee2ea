package share

import "golang.org/x/sys/unix"

// Attribute is a file attribute of chattr(1) that forbids to rename or replace
// what has it, or the entries of a folder that has it.
type Attribute struct {
	Name   string // "immutable"
	Letter string // as chattr takes it: "i"
}

// Attributes are those that path has. how is added to the flags of open(2):
// O_NOFOLLOW or O_DIRECTORY. What cannot be opened, and file systems without
// attributes, answer none.
func Attributes(path string, how int) (list []Attribute) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|how, 0)
	if err != nil {
		return nil // told by whoever reads it
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return nil
	}
	const immutable, appendOnly = 0x10, 0x20 // FS_IMMUTABLE_FL, FS_APPEND_FL of linux/fs.h
	if flags&immutable != 0 {
		list = append(list, Attribute{"immutable", "i"})
	}
	if flags&appendOnly != 0 {
		list = append(list, Attribute{"append-only", "a"})
	}
	return list
}
