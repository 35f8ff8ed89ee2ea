package service

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
)

// rootPlaces is the folder of root's own places, see home.RootFolder.
const rootPlaces = "/var/lib/cidx-cluster/"

// rootOwn reports whether a place is root's own.
func rootOwn(place home.State) bool { return strings.HasPrefix(string(place), rootPlaces) }

// makePlace makes the folder of hold and record. Root's own can be read by
// everybody: the drop-ins and the other steps look there as the server's user.
func makePlace(place home.State) error {
	if !rootOwn(place) {
		return durable.MakeFolder(string(place))
	}
	for _, dir := range []string{filepath.Clean(rootPlaces), string(place)} {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make folder of the hold: %w", err)
		}
		info, err := os.Lstat(dir)
		if err != nil {
			return fmt.Errorf("make folder of the hold: %w", err)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || !ok || st.Uid != 0 {
			return problem.Problem{What: "not a folder of root's", At: dir, Fix: "move it away"}
		}
		if err := os.Chmod(dir, 0o755); err != nil { // the umask may have narrowed it
			return fmt.Errorf("make folder of the hold: %w", err)
		}
	}
	return nil
}

// leavePlace removes root's own folder when nothing is left in it, and the
// folder of all such when this was the last one.
func leavePlace(place home.State) error {
	if !rootOwn(place) {
		return nil
	}
	for _, dir := range []string{string(place), filepath.Clean(rootPlaces)} {
		err := os.Remove(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
			return fmt.Errorf("remove folder of the hold: %w", err)
		}
	}
	return nil
}

// writeOpen writes a file of the place; in root's own everybody may read it.
func writeOpen(path string, raw []byte) error {
	if err := durable.Write(path, raw, nil); err != nil {
		return err
	}
	if !rootOwn(home.State(filepath.Dir(path))) {
		return nil
	}
	if err := os.Chmod(path, 0o644); err != nil {
		return fmt.Errorf("open %s for reading: %w", path, err)
	}
	return nil
}
