package rsync

import (
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/share"
)

// Error is an exit code with rsync's last words.
type Error struct {
	code   int
	words  string
	target string
}

func (e *Error) Error() string {
	if e.code < 0 {
		return "rsync was killed: " + human.FirstLines(e.words, 3)
	}
	return fmt.Sprintf("rsync ended with code %d: %s", e.code, human.FirstLines(e.words, 3))
}

// Partial reports whether the transfer went on to its end without some files.
func (e *Error) Partial() bool { return e.code == 23 || e.code == 24 || e.Uprooted() }

// Uprooted reports whether rsync gave up because a folder vanished or became
// something else while it made its list.
func (e *Error) Uprooted() bool {
	return e.code == 2 && strings.Contains(e.words, "ABORTING due to invalid path from sender")
}

// Problem is the error with its remedy.
func (e *Error) Problem() problem.Problem {
	fix := "run again: what is copied stays copied; if it stays, run rsync by hand on the named file"
	for _, known := range []struct{ words, fix string }{
		{"No space left on device", share.FixFull},
		{"Disk quota exceeded", share.FixFull},
		{"Read-only file system", share.FixReadOnly},
		{"Stale file handle", share.FixGone},
		{"Input/output error", share.FixGone},
		{"Transport endpoint is not connected", share.FixGone},
		{"Host is down", share.FixGone},
		{"send_files failed to open", "make the file readable for the server's user, or check the disk"},
		{"chown", share.FixRights},
		{"Operation not permitted", share.FixRights},
		{"Permission denied", share.FixRights},
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

// Missing reports whether something on the way was not there.
func (e *Error) Missing() bool { return strings.Contains(e.words, "No such file") }
