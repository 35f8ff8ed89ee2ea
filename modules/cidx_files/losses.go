package files

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/repath"
	"cidx-cluster/modules/internal/tree"
)

// find is what there is to tell of a folder: of one that has not changed what an
// earlier look has found.
func (s *scan) find(d *tree.Dir, unchanged bool) []finding {
	if !s.losses {
		return nil
	}
	if unchanged && s.part.found != nil {
		return s.part.found[d.Path]
	}
	var list []finding
	if d.Path == "" {
		list = attributes(list, s.root, "")
	}
	for i := range d.Entries {
		e := &d.Entries[i]
		path := tree.Join(d.Path, e.Name)
		list = attributes(list, s.root, path)
		list = s.part.paths(list, s.root, d.Path, e)
	}
	for _, old := range s.part.found[d.Path] {
		_, name := tree.Parent(old.path)
		if i := d.Find(name); old.kind == findForeign || old.kind == findHardLink && i >= 0 && d.Entries[i].Nlink > 1 {
			list = append(list, old)
		}
	}
	return list
}

// attributes adds ACLs, capabilities and extended attributes of an entry. NFS
// keeps none of them in general, so they are not copied; CIDX and git use none.
func attributes(list []finding, root *tree.Root, path string) []finding {
	buffer, n := make([]byte, 4096), 0
	err := root.At(path, func(fd int, name string) (err error) {
		full := fmt.Sprintf("/proc/self/fd/%d/%s", fd, cmp.Or(name, ".")) // there is no llistxattrat before 6.13
		if n, err = unix.Llistxattr(full, buffer); errors.Is(err, unix.ERANGE) {
			buffer = make([]byte, 64<<10)
			n, err = unix.Llistxattr(full, buffer)
		}
		return err
	})
	if err != nil || n <= 0 {
		return list
	}
	var names []string
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buffer[:n]), "\x00"), "\x00") {
		switch {
		// Labels of SELinux and the like belong to the machine and are no loss.
		case name == "security.selinux", name == "security.ima", name == "security.evm", strings.HasPrefix(name, "trusted."):
		case name == "security.capability":
			names = append(names, "file capability")
		case name == "system.posix_acl_access", name == "system.posix_acl_default", name == "system.nfs4_acl":
			names = append(names, "access list ("+name+")")
		default:
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return list
	}
	return append(list, finding{kind: findAttributes, path: path, detail: strings.Join(names, ", ")})
}

// paths adds the absolute paths in an entry, the target of a link or those that
// git keeps: which lead into the moved folders, and which out of them.
func (p *part) paths(list []finding, root *tree.Root, dir string, e *tree.Entry) []finding {
	path := tree.Join(dir, e.Name)
	outside := func(to, detail string) {
		if !p.everywhere(to) {
			list = append(list, finding{kind: findOutside, path: path, detail: detail + " " + to})
		}
	}
	if e.IsSymlink() {
		if !strings.HasPrefix(e.Link, "/") {
			return list
		}
		if repath.Rewrite(e.Link, p.moves) != e.Link {
			return append(list, finding{findServed, path, "symbolic link to " + e.Link})
		}
		outside(e.Link, "symbolic link to")
		return list
	}
	kind := gitFile(dir, e)
	if kind == "" {
		return list
	}
	content, err := readSmall(root, path)
	if err != nil {
		return list // vanished or unreadable: the copy tells
	}
	inside, out := gitPaths(kind, content, p.moves)
	for _, to := range out {
		outside(to, "git's "+kind+" has")
	}
	for _, to := range inside {
		list = append(list, finding{findServed, path, "git's " + kind + " has " + to})
	}
	return list
}

// everywhere reports whether a path exists on every node.
func (p *part) everywhere(path string) bool {
	for _, common := range []string{"/usr/", "/bin/", "/dev/null", "/etc/", "/lib/", "/proc/", p.share + "/"} {
		if strings.HasPrefix(path, common) {
			return true
		}
	}
	return false
}
