package share

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Mount is one line of /proc/self/mountinfo.
type Mount struct {
	Point   string   `json:"point"`   // where it is mounted
	Type    string   `json:"type"`    // "nfs4", "ext4", "fuse.x", …
	Source  string   `json:"source"`  // "server:/export", "/dev/sdb1", …
	Options []string `json:"options"` // of the mount, then of the file system
}

// Has reports whether the mount has an option of that name ("ro", "vers").
func (m Mount) Has(option string) bool {
	return slices.ContainsFunc(m.Options, func(o string) bool {
		name, _, _ := strings.Cut(o, "=")
		return name == option
	})
}

// Network reports whether operations may take a network's time: everything but
// the known file systems of local disks and memory.
func (m Mount) Network() bool {
	switch m.Type {
	case "", "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "tmpfs", "ramfs", "overlay", "rootfs":
		return false
	}
	return true
}

// Find returns the mount at point, the topmost one where several are stacked.
func Find(point string) (m Mount, ok bool, err error) {
	list, err := Mounts()
	m, ok = topmost(list, filepath.Clean(point))
	return m, ok, err
}

func topmost(list []Mount, point string) (m Mount, ok bool) {
	for _, next := range list {
		if next.Point == point {
			m, ok = next, true
		}
	}
	return m, ok
}

// Mounts lists all mounts, in the order of mounting. It reads /proc/self/mountinfo
// only: a dead NFS server cannot make it hang.
func Mounts() (list []Mount, err error) {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	return parseMounts(string(raw)), nil
}

func parseMounts(text string) (list []Mount) {
	for line := range strings.Lines(text) {
		if m, ok := parseMount(strings.TrimSuffix(line, "\n")); ok {
			list = append(list, m)
		}
	}
	return list
}

// parseMount reads
//
//	36 35 98:0 /root /point rw,noatime master:1 - ext4 /dev/sda1 rw,errors=continue
//
// where any number of optional fields stands before the single "-".
func parseMount(line string) (Mount, bool) {
	head, tail, ok := strings.Cut(line, " - ")
	left, right := strings.Fields(head), strings.Fields(tail)
	if !ok || len(left) < 6 || len(right) < 2 {
		return Mount{}, false
	}
	m := Mount{Point: unescape(left[4]), Type: right[0], Source: unescape(right[1])}
	m.Options = strings.Split(left[5], ",")
	if len(right) > 2 {
		m.Options = append(m.Options, strings.Split(right[2], ",")...)
	}
	return m, true
}

// unescape undoes the kernel's \040 for blanks, tabs, newlines and backslashes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

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
