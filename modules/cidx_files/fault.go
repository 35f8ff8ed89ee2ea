package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/problem"
)

// fault tells what an operation on the share failed with, with the remedy where
// there is one.
func fault(verb, path string, err error) error {
	if err == nil {
		return nil
	}
	if fix := remedy(err); fix != "" {
		return problem.Problem{What: fmt.Sprintf("%s: %v", verb, cause(err)), At: path, Fix: fix}
	}
	return fmt.Errorf("%s %q: %w", verb, path, cause(err))
}

// cause is the error without the path that the problem names already.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		return link.Err
	}
	return err
}

const (
	fixFull     = "free space (or inodes) on the share, or enlarge it, and run again: what is copied stays copied"
	fixReadOnly = "mount the share read-write (mount -o remount,rw) and run again: what is copied stays copied"
	fixGone     = "check the file server and the mount, and run again: what is copied stays copied"
	fixRights   = "let the server's user write there (chown the exported folder to it; no all_squash to another id), and run again"
)

func remedy(err error) string {
	var number syscall.Errno
	if !errors.As(err, &number) {
		return ""
	}
	switch number {
	case unix.ENOSPC, unix.EDQUOT:
		return fixFull
	case unix.EROFS:
		return fixReadOnly
	case unix.EIO, unix.ESTALE, unix.ENOTCONN, unix.EHOSTDOWN, unix.EHOSTUNREACH, unix.ETIMEDOUT, unix.ENODEV, unix.ENXIO, unix.ESHUTDOWN:
		return fixGone
	case unix.EACCES, unix.EPERM:
		return fixRights
	case unix.ENAMETOOLONG, unix.EINVAL, unix.EILSEQ:
		return "the share refuses this name: rename it at the source, or choose a share that takes it"
	case unix.EFBIG:
		return "the share's file system does not take files of this size: choose another one"
	case unix.EMFILE, unix.ENFILE:
		return "raise the limit of open files (ulimit -n) for this run"
	}
	return ""
}

// rsyncError is an exit code with rsync's last words.
type rsyncError struct {
	code   int
	words  string
	target string
}

func (e *rsyncError) Error() string {
	if e.code < 0 {
		return "rsync was killed: " + firstLines(e.words, 3)
	}
	return fmt.Sprintf("rsync ended with code %d: %s", e.code, firstLines(e.words, 3))
}

// partial reports whether the transfer went on to its end without some files.
func (e *rsyncError) partial() bool { return e.code == 23 || e.code == 24 || e.uprooted() }

// uprooted reports whether rsync gave up because a folder vanished or became
// something else while it made its list.
func (e *rsyncError) uprooted() bool {
	return e.code == 2 && strings.Contains(e.words, "ABORTING due to invalid path from sender")
}

// problem is the error with its remedy.
func (e *rsyncError) problem() problem.Problem {
	fix := "run again: what is copied stays copied; if it stays, run rsync by hand on the named file"
	for _, known := range []struct{ words, fix string }{
		{"No space left on device", fixFull},
		{"Disk quota exceeded", fixFull},
		{"Read-only file system", fixReadOnly},
		{"Stale file handle", fixGone},
		{"Input/output error", fixGone},
		{"Transport endpoint is not connected", fixGone},
		{"Host is down", fixGone},
		{"send_files failed to open", "make the file readable for the server's user, or check the disk"},
		{"chown", fixRights},
		{"Operation not permitted", fixRights},
		{"Permission denied", fixRights},
		{"File name too long", "shorten the name at the source, or choose a share that takes it"},
		{"File too large", "choose a share whose file system takes files of this size"},
		{"Cannot allocate memory", "free memory on this node, or set cidx_files_processes to a smaller number"},
	} {
		if strings.Contains(e.words, known.words) {
			fix = known.fix
			break
		}
	}
	return problem.Problem{What: e.Error(), At: e.target, Fix: fix}
}

// vanished reports whether a pass has ended since something of the copy was gone:
// what it has recorded meanwhile may lie in a folder that was moved away.
func vanished(err error) bool {
	var r *rsyncError
	return errors.Is(err, errReplaced) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) ||
		errors.As(err, &r) && strings.Contains(r.words, "No such file")
}

func firstLines(text string, n int) string {
	lines := strings.SplitN(text, "\n", n+1)
	return strings.Join(lines[:min(n, len(lines))], "; ")
}
