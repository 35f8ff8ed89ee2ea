// Package obstacle finds what keeps the trees of a server from moving to the share:
// mounts, attributes, and symbolic links that CIDX follows. It can be looked at
// without changing anything.
package obstacle

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/share"
)

// Anchored are the reasons for which trees cannot be renamed: the cut-over puts a
// link in the place of each. What the kernel would refuse then, or what would come
// back over the link at the next start of the machine, is told.
func Anchored(trees []home.Tree) (problems problem.List) {
	mounts, err := share.Mounts()
	if err != nil {
		problems.Add(err)
	}
	looked := map[string]bool{}
	for _, t := range trees {
		if t.Moved() {
			continue
		}
		above, err := filepath.EvalSymlinks(filepath.Dir(t.Link))
		if err != nil {
			continue // told by whoever needs the folder
		}
		real := filepath.Join(above, filepath.Base(t.Link))
		if !looked[above] {
			problems = append(problems, immutable(above)...)
		}
		looked[above] = true
		info, err := os.Lstat(real)
		if err != nil || !info.IsDir() {
			continue // a link is renamed, whatever it leads to
		}
		problems = append(problems, immutable(real)...)
		for _, m := range mounts {
			if m.Point == real {
				problems = append(problems, ownMount(t.Link, m))
			} else if strings.HasPrefix(m.Point, real+"/") {
				problems = append(problems, mountInside(t.Link+m.Point[len(real):], m))
			}
		}
	}
	return problems
}

// ownMount is the problem of a tree that is a mount. Its remedy moves the mount,
// not the data, and takes nothing away.
func ownMount(at string, m share.Mount) problem.Problem {
	beside := at + "-disk"
	return problem.Problem{
		What: fmt.Sprintf("a mount of its own (%s, %s): the cut-over has to rename this folder, which the kernel refuses",
			m.Type, m.Source),
		At: at,
		Fix: fmt.Sprintf("with the server stopped, mount the same disk beside it and leave a link, so that the data stays where it is: "+
			"mkdir %[2]s && mount --bind %[1]s %[2]s && umount -l %[1]s && mv %[1]s %[3]s && ln -s %[2]s %[1]s; "+
			"change the mount point in /etc/fstab or the mount unit to %[2]s as well, start the server, and run again",
			human.Word(at), human.Word(beside), human.Word(at+"-under-the-mount")),
	}
}

// mountInside is the problem of a mount below a tree: after the cut-over its
// mount point would lie on the share.
func mountInside(at string, m share.Mount) problem.Problem {
	return problem.Problem{
		What: fmt.Sprintf("a mount (%s, %s) inside a folder that moves to the share: "+
			"at the next start of the machine it would cover what lies there", m.Type, m.Source),
		At: at,
		Fix: fmt.Sprintf("with the server stopped, copy what it holds and put the copy in its place: "+
			"cp -a %[1]s %[2]s && umount %[1]s && rmdir %[1]s && mv %[2]s %[1]s; "+
			"take it out of /etc/fstab or the mount unit; start the server, and run again", human.Word(at), human.Word(at+".copy")),
	}
}

// immutable looks for attributes (chattr) that forbid to rename a folder or the
// entries in it.
func immutable(dir string) (problems problem.List) {
	for _, a := range share.Attributes(dir, unix.O_DIRECTORY) {
		problems = append(problems, problem.Problem{
			What: fmt.Sprintf("%s (chattr +%s): the cut-over has to rename folders there, which the kernel refuses", a.Name, a.Letter),
			At:   dir,
			Fix:  fmt.Sprintf("chattr -%s %s; run again, and set it again afterwards if it is wanted", a.Letter, human.Word(dir)),
		})
	}
	return problems
}
