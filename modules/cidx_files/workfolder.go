package files

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// temporary is a new name in the work folder, which is made when it is needed
// first: a comparison that finds nothing writes nothing.
func (t *target) temporary() (string, error) {
	if err := t.openWork(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s/l%d", workFolder, t.names.Add(1)), nil
}

// openWork makes the folder for temporary files.
func (t *target) openWork() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.working {
		return nil
	}
	if err := t.at(workFolder, func(fd int, name string) error { return unix.Mkdirat(fd, name, 0o700) }); err != nil && !errors.Is(err, unix.EEXIST) {
		return fault("make folder", t.path(workFolder), err)
	}
	t.writes.Add(1)
	t.working = true
	return nil
}

// closeWork removes it again, or what a killed run has left of it.
func (t *target) closeWork() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.working {
		if _, err := t.lstat(workFolder); errors.Is(err, unix.ENOENT) {
			return nil
		}
		t.writes.Add(1)
	}
	t.working = false
	t.dir.Forget(workFolder)
	return fault("remove folder", t.path(workFolder), os.RemoveAll(filepath.Join(t.self(), workFolder)))
}
