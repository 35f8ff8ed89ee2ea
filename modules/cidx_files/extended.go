package files

import (
	"bytes"
	"strings"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/tree"
)

// extended counts the entries of a folder that carry ACLs or extended
// attributes. NFS keeps neither in general, so they are not copied; CIDX and git
// use none. Labels of SELinux belong to the machine and are no loss.
func (c *census) extended(source string, d *tree.Dir) {
	buffer := make([]byte, 4096)
	for i := range d.Entries {
		path := source + "/" + tree.Join(d.Path, d.Entries[i].Name)
		n, err := unix.Llistxattr(path, buffer)
		if err != nil || n <= 0 || !worthTelling(buffer[:n]) {
			continue
		}
		c.mu.Lock()
		c.Extended++
		if len(c.withExtended) < 3 {
			c.withExtended = append(c.withExtended, path)
		}
		c.mu.Unlock()
	}
}

// worthTelling looks for a name that is not the machine's own.
func worthTelling(names []byte) bool {
	for name := range bytes.SplitSeq(bytes.TrimSuffix(names, []byte{0}), []byte{0}) {
		switch text := string(name); {
		case text == "security.selinux", text == "security.ima", text == "security.evm", strings.HasPrefix(text, "trusted."):
		default:
			return true
		}
	}
	return false
}
