package share

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

// explain turns failed probes into problems.
func (p *prober) explain(a answer) {
	for _, r := range a.Results {
		if r.OK {
			continue
		}
		if fault, ok := p.meaning(r); ok {
			p.problems = append(p.problems, fault)
		}
	}
}

// fixSquash is for a server that runs as root; any other one needs no root there.
const fixSquash = "export the share with no_root_squash, and without all_squash, for this node, at least until the migration is done"

// notWritable tells why nothing can be created. A mount that is read-write here
// may be exported read-only; only an attempt to write shows that.
func (p *prober) notWritable(r Result) problem.Problem {
	fault := problem.Problem{What: fmt.Sprintf("%s as %s: %s", r.Name, r.As, r.Detail), At: p.request.Dir}
	switch {
	case r.Detail == unix.EROFS.Error():
		fault.What = "exported read-only: " + fault.What
		fault.Fix = "export the share read-write (rw) for this node on the file server"
	case r.As == "root":
		fault.Fix = fixSquash + "; and read-write"
	default:
		fault.Fix = "let " + r.As + " write there: every folder of the path needs x for that user; chown the exported folder to it"
	}
	return fault
}

// full tells a lack of room, whichever probe has met it first.
func (p *prober) full(r Result) (problem.Problem, bool) {
	fault := problem.Problem{At: p.request.Dir}
	switch {
	case strings.HasSuffix(r.Detail, unix.ENOSPC.Error()):
		fault.What = fmt.Sprintf("the share is full: %s as %s: %s", r.Name, r.As, r.Detail)
		fault.Fix = "free space (or inodes) on the share, or enlarge it, and run again"
	case strings.HasSuffix(r.Detail, unix.EDQUOT.Error()):
		fault.What = fmt.Sprintf("the quota on the share is used up: %s as %s: %s", r.Name, r.As, r.Detail)
		fault.Fix = "raise the quota of " + r.As + " on the file server, or free space there, and run again"
	default:
		return fault, false
	}
	return fault, true
}

func (p *prober) meaning(r Result) (problem.Problem, bool) {
	if fault, ok := p.full(r); ok {
		return fault, true
	}
	at := p.request.Dir
	what := fmt.Sprintf("%s as %s: %s", r.Name, r.As, r.Detail)
	fix := ""
	switch r.Name {
	case "statfs", "stat", "list":
		fix = "mount the shared storage again: umount -l " + p.request.Mount + " && mount " + p.request.Mount
	case "resolve":
		return problem.Problem{}, false // the mount point is missing; told as "not a mount point"
	case "lock", "hard link":
		return problem.Problem{}, false // CIDX falls back; whether links are needed, the census knows
	case "access", "create folder", "create":
		return p.notWritable(r), true
	case "chown":
		fix = "use the same numeric ids on the file server: no idmapping, no all_squash"
		if r.As == "root" {
			fix = fixSquash
		}
	case "chmod", "mtime", "rename", "symlink":
		fix = "export the share from a POSIX file system, without options that fix modes or owners"
	case "clean up":
		fix = "remove " + p.work
	default:
		fix = "see the share's mount options and the server's export"
	}
	return problem.Problem{What: what, At: at, Fix: fix}, true
}

// Fault tells what an operation on the share failed with, with the remedy where
// there is one.
func Fault(verb, path string, err error) error {
	if err == nil {
		return nil
	}
	if fix := remedy(err); fix != "" {
		return problem.Problem{What: fmt.Sprintf("%s: %v", verb, Cause(err)), At: path, Fix: fix}
	}
	return fmt.Errorf("%s %q: %w", verb, path, Cause(err))
}

// Cause is the error without the path that the problem names already.
func Cause(err error) error {
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

// What an operator does about a share that takes nothing more.
const (
	FixFull     = "free space (or inodes) on the share, or enlarge it, and run again: what is copied stays copied"
	FixReadOnly = "mount the share read-write (mount -o remount,rw) and run again: what is copied stays copied"
	FixGone     = "check the file server and the mount, and run again: what is copied stays copied"
	FixRights   = "let the server's user write there (chown the exported folder to it; no all_squash to another id), and run again"
)

func remedy(err error) string {
	var number syscall.Errno
	if !errors.As(err, &number) {
		return ""
	}
	switch number {
	case unix.ENOSPC, unix.EDQUOT:
		return FixFull
	case unix.EROFS:
		return FixReadOnly
	case unix.EIO, unix.ESTALE, unix.ENOTCONN, unix.EHOSTDOWN, unix.EHOSTUNREACH, unix.ETIMEDOUT, unix.ENODEV, unix.ENXIO, unix.ESHUTDOWN:
		return FixGone
	case unix.EACCES, unix.EPERM:
		return FixRights
	case unix.ENAMETOOLONG, unix.EINVAL, unix.EILSEQ:
		return "the share refuses this name: rename it at the source, or choose a share that takes it"
	case unix.EFBIG:
		return "the share's file system does not take files of this size: choose another one"
	case unix.EMFILE, unix.ENFILE:
		return "raise the limit of open files (ulimit -n) for this run"
	}
	return ""
}
