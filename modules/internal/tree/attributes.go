package tree

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Attributes names what an entry has of access lists, capabilities and extended
// attributes; labels of SELinux and the like belong to the machine and do not count.
func (r *Root) Attributes(path string) (names []string) {
	buffer, n := make([]byte, 4096), 0
	err := r.At(path, func(fd int, name string) (err error) {
		full := fmt.Sprintf("/proc/self/fd/%d/%s", fd, cmp.Or(name, ".")) // there is no llistxattrat before 6.13
		if n, err = unix.Llistxattr(full, buffer); errors.Is(err, unix.ERANGE) {
			buffer = make([]byte, 64<<10)
			n, err = unix.Llistxattr(full, buffer)
		}
		return err
	})
	if err != nil || n <= 0 {
		return nil
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buffer[:n]), "\x00"), "\x00") {
		switch {
		case name == "security.selinux", name == "security.ima", name == "security.evm", strings.HasPrefix(name, "trusted."):
		case name == "security.capability":
			names = append(names, "file capability")
		case name == "system.posix_acl_access", name == "system.posix_acl_default", name == "system.nfs4_acl":
			names = append(names, "access list ("+name+")")
		default:
			names = append(names, name)
		}
	}
	return names
}
