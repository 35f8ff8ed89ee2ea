package cutover

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/share"
)

// Replaceable finds what would keep config.json, or its standalone version beside
// it, from being replaced by a rename, without changing anything. Both directions
// need that: a migration that needs no new config.json would be one without a way
// back.
func (c *Change) Replaceable() problem.List {
	var problems problem.List
	for _, path := range []string{c.ConfigPath(), c.ConfigPath() + home.PreCluster} {
		real, err := filepath.EvalSymlinks(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it will be made, or its absence is told elsewhere
		}
		if err != nil {
			problems = append(problems, problem.Problem{What: err.Error(), At: path,
				Fix: "make the file reachable for the user that runs this"})
			continue
		}
		problems.Add(mounted(path, real))
		problems.Add(protected(real))
	}
	return append(problems, c.foldersOfConfig()...)
}

// foldersOfConfig are the problems of the folders in which config.json and its
// standalone version are replaced.
func (c *Change) foldersOfConfig() (problems problem.List) {
	dirs := []string{c.Home}
	if real, err := filepath.EvalSymlinks(c.ConfigPath()); err == nil && filepath.Dir(real) != c.Home {
		dirs = append(dirs, filepath.Dir(real))
	}
	for _, dir := range dirs {
		problems.Add(protected(dir))
		if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
			problems = append(problems, problem.Problem{What: "config.json cannot be replaced in this folder: " + err.Error(), At: dir,
				Fix: "make the folder writable for the server's user (chown, or mount -o remount,rw)"})
		}
	}
	return problems
}

// mounted complains about a file that is a mount of its own, as in a container:
// the kernel refuses to rename another one over it.
func mounted(path, real string) error {
	m, ok, err := share.Find(real)
	if err != nil || !ok {
		return err
	}
	return problem.Problem{
		What: fmt.Sprintf("a mount of its own (%s, %s): it cannot be replaced, "+
			"so neither the migration nor a rollback could switch the server", m.Type, m.Source), At: path,
		Fix: fmt.Sprintf("mount the folder that holds it, not the file; or, with the server stopped, put the file in its place: "+
			"cp -p %[1]s %[2]s && umount %[1]s && mv %[2]s %[1]s, and take the mount out of /etc/fstab, the unit or the container",
			human.Word(real), human.Word(real+".copy")),
	}
}

// protected complains about attributes (chattr) that forbid to replace a file, or
// any file of a folder.
func protected(path string) error {
	if found := share.Attributes(path, unix.O_NONBLOCK|unix.O_NOFOLLOW); len(found) > 0 {
		a := found[0]
		return problem.Problem{
			What: fmt.Sprintf("%s (chattr +%s): config.json cannot be replaced, "+
				"so neither the migration nor a rollback could switch the server", a.Name, a.Letter), At: path,
			Fix: fmt.Sprintf("chattr -%s %s, and leave it so until the rollback is no longer needed", a.Letter, human.Word(path)),
		}
	}
	return nil
}

// busy explains a rename of a tree that the kernel refuses. Its remedies keep the
// data where it is; the rehearsal names the mount with the commands.
func busy(err error, at string) problem.Problem {
	fix := "run cluster-migrate.yml --check: it names what is in the way, with the commands that leave the data where it is"
	switch {
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EXDEV):
		fix = "the folder is a mount, or has one inside (findmnt -R " + human.Word(at) + "); " +
			"do not unmount it, the data would be away with it: " + fix
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		fix = "attributes or rights of the folder or the one above forbid it (lsattr -d, ls -ld); " + fix
	case errors.Is(err, fs.ErrExist):
		fix = "something came to the name that the folder is to get; find out what it is and move it away, then run again"
	}
	return problem.Problem{What: "rename the folder: " + err.Error(), At: at, Fix: fix}
}
