package manifest

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"cidx-cluster/modules/internal/durable"
)

// fold writes the manifest anew, by rename, and removes the log.
func (m *Manifest) fold() error {
	temporary := m.path + ".tmp"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	size, err := m.writeTo(f)
	if err == nil {
		err = os.Rename(temporary, m.path)
	}
	if err != nil {
		return fmt.Errorf("write manifest: %w", errors.Join(err, f.Close(), os.Remove(temporary), m.read()))
	}
	if err := durable.SyncFolder(filepath.Dir(m.path)); err != nil { // the log goes after it
		return err
	}
	if err := os.Remove(m.path + ".log"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove manifest log: %w", err)
	}
	m.files = [2]records{{f: f, size: size}, {}}
	m.torn, m.open = false, false // somebody may be reading the old files still; the collector closes them
	return durable.SyncFolder(filepath.Dir(m.path))
}

// writeTo writes the living records to f, which is the manifest from then on.
func (m *Manifest) writeTo(f *os.File) (size int64, err error) {
	w := bufio.NewWriterSize(f, 256<<10)
	n, err := w.WriteString(magic)
	if err != nil {
		return 0, err
	}
	size = int64(n)
	for file := range m.files {
		_, err := m.files[file].each(m.files[file].size, func(offset int64, p parsed) error {
			k := p.key()
			if m.index[k]&^met != at(file, offset) {
				return nil
			}
			// Never mistaken for a place in a file that is still to be read: each
			// path is living once, and its record comes but once.
			m.index[k] = at(0, size)
			n, err := w.Write(record(p.path, p.stats, p.flags))
			size += int64(n)
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return size, errors.Join(w.Flush(), f.Sync())
}
