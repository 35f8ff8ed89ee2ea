// Package writer knows in whose name the share is written. Usually that is the
// caller; where a file server takes root for nobody (root_squash), it is the
// server's own user, which a step then becomes for good before it writes
// anything (ansible.Become). What it needs of the state folder is given to it.
package writer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/reach"
	"cidx-cluster/modules/internal/share"
)

// Choose answers the user as whom the share has to be written, "" for the
// caller itself. Info is what a probe without writing has found. On a share that
// everybody may write to, only the probe with writing shows that root is nobody:
// it is asked again where an earlier run has found that.
func Choose(s cidx.State, info share.Info, probe func() (share.Info, error)) (string, error) {
	if info.WriteAs != "" || os.Geteuid() != 0 {
		return info.WriteAs, nil
	}
	if _, err := os.Lstat(record(s)); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	info, err := probe()
	return info.WriteAs, err
}

// Recorded answers the user whom an earlier step had to become to write on the
// share; root can read there no more than anybody. ok is false where there is
// none, or where the caller is not root.
func Recorded(s cidx.State) (u reach.Identity, ok bool, err error) {
	name, err := os.ReadFile(record(s))
	if errors.Is(err, fs.ErrNotExist) || err == nil && os.Geteuid() != 0 {
		return u, false, nil
	}
	if err != nil {
		return u, false, fmt.Errorf("read who writes on the share: %w", err)
	}
	u, err = reach.Lookup(strings.TrimSpace(string(name)))
	return u, err == nil, err
}

// record is the file that remembers the user.
func record(s cidx.State) string { return filepath.Join(s.Files(), "writer") }

// HandOver gives the user what a step as that user writes in the state folder:
// the journal, the manifests and the kept alias files. The error is a Problem
// where the state folder belongs to somebody else.
func HandOver(s cidx.State, u reach.Identity) error {
	if err := journal.MakeFolder(s.Files()); err != nil {
		return err
	}
	info, err := os.Stat(string(s))
	if err != nil {
		return fmt.Errorf("look at state folder: %w", err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != u.UID {
		return cidx.Problem{
			What: fmt.Sprintf("root may not write on the share (root_squash), and the state folder belongs to uid %d, not to %s, who may", owner.Uid, u), At: string(s),
			Fix: "export the share with no_root_squash for this node until the migration is done; or give the folder to " + u.String(),
		}
	}
	for _, file := range []struct{ path, content string }{{record(s), u.String() + "\n"}, {s.Journal(), ""}} {
		if err := ensure(file.path, file.content); err != nil {
			return err
		}
	}
	if err := give(s.Journal(), u); err != nil {
		return err
	}
	for _, dir := range []string{s.Files(), s.Aliases()} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return errors.Join(err, give(path, u))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ensure makes a file that is not there.
func ensure(path, content string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make file: %w", err)
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Close())
}

// give changes an owner, where it is another one.
func give(path string, u reach.Identity) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("look at %s: %w", path, err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) == u.UID && int(owner.Gid) == u.GID {
		return nil
	}
	if err := os.Lchown(path, u.UID, u.GID); err != nil {
		return fmt.Errorf("give file to %s: %w", u, err)
	}
	return nil
}
