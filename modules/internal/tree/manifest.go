package tree

import (
	"bufio"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"cidx-cluster/modules/internal/durable"
)

// Manifest remembers, folder by folder, which source state was copied. It lives
// in two files: path, written by rename, and path+".log", to which every Put and
// Drop is appended at once, so that a killed run loses at most what it was just
// doing. In memory is only where each folder's record lies. Its methods may be
// called from several goroutines.
type Manifest struct {
	path  string
	mu    sync.Mutex
	index map[key]place
	files [2]records // the manifest and its log
	torn  bool       // a file ends in a damaged record: write anew before appending
	open  bool       // the log is open for appending
}

// key stands for a folder's path. Of two paths with one key the manifest would
// know the later one only, and the other folder be looked at again.
type key uint64

var seed = maphash.MakeSeed()

func keyOf(path string) key { return key(maphash.String(seed, path)) }

// place is where a record begins: in the log if the lowest bit is set.
type place int64

func at(file int, offset int64) place { return place(offset<<1 | int64(file)) }

func (p place) in() (file int, offset int64) { return int(p & 1), int64(p >> 1) }

const magic = "cidx-manifest 3\n"

// OpenManifest reads the manifest at path with its log. Files that do not exist
// are an empty manifest; damage ends the reading of a file where it begins,
// since a forgotten folder is only looked at again. Nothing is written before
// the first Put or Drop.
func OpenManifest(path string) (*Manifest, error) {
	m := &Manifest{path: path, index: map[key]place{}}
	for file, name := range []string{path, path + ".log"} {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		m.files[file].f = f
		whole, err := m.read(file)
		if err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		m.torn = m.torn || !whole
	}
	return m, nil
}

// NewManifest returns an empty manifest that cannot be written.
func NewManifest() *Manifest { return &Manifest{index: map[key]place{}} }

// read takes a file's records over until the end or the first damaged one.
func (m *Manifest) read(file int) (whole bool, err error) {
	info, err := m.files[file].f.Stat()
	if err != nil {
		return false, err
	}
	m.files[file].size = info.Size()
	return m.files[file].each(info.Size(), func(offset int64, path string, g *Group) error {
		if len(g.Stats) == 0 {
			delete(m.index, keyOf(path))
		} else {
			m.index[keyOf(path)] = at(file, offset)
		}
		return nil
	})
}

// Len returns the number of folders.
func (m *Manifest) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.index)
}

// Group returns what is kept of a folder, nil if nothing.
func (m *Manifest) Group(path string) *Group {
	m.mu.Lock()
	p, ok := m.index[keyOf(path)]
	files := m.files
	m.mu.Unlock()
	if !ok {
		return nil
	}
	file, offset := p.in()
	found, g, err := files[file].at(offset)
	if err != nil || found != path {
		return nil
	}
	return g
}

// Each calls f for every folder, in no order, until it returns an error. What is
// put or dropped meanwhile may be seen or not.
func (m *Manifest) Each(f func(path string, g *Group) error) error {
	m.mu.Lock()
	files := m.files
	m.mu.Unlock()
	for file := range files {
		_, err := files[file].each(files[file].size, func(offset int64, path string, g *Group) error {
			m.mu.Lock()
			living := m.index[keyOf(path)] == at(file, offset)
			m.mu.Unlock()
			if !living {
				return nil
			}
			return f(path, g)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Put records the state of a folder's copy and appends it to the log.
func (m *Manifest) Put(path string, stats, flags []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	offset, err := m.append(record(path, stats, flags))
	if err == nil {
		m.index[keyOf(path)] = at(1, offset)
	}
	return err
}

// Drop forgets a folder.
func (m *Manifest) Drop(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.index[keyOf(path)]; !ok {
		return nil
	}
	_, err := m.append(record(path, nil, nil))
	delete(m.index, keyOf(path))
	return err
}

// Forget drops everything, as if there had never been a copy.
func (m *Manifest) Forget() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.index) == 0 {
		return nil
	}
	m.index = map[key]place{}
	return m.fold()
}

func (m *Manifest) append(b []byte) (offset int64, err error) {
	if !m.open {
		if err := m.openLog(); err != nil {
			return 0, err
		}
	}
	log := &m.files[1]
	offset = log.size
	n, err := log.f.Write(b)
	log.size += int64(n)
	if err != nil {
		return 0, fmt.Errorf("write manifest log: %w", err)
	}
	return offset, nil
}

func (m *Manifest) openLog() error {
	if m.torn {
		if err := m.fold(); err != nil {
			return err
		}
	}
	log := &m.files[1]
	f, err := os.OpenFile(m.path+".log", os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open manifest log: %w", err)
	}
	log.f, m.open = f, true
	if log.size > 0 {
		return nil
	}
	if err := durable.SyncFolder(filepath.Dir(m.path)); err != nil { // its name is to outlive a power cut
		return err
	}
	_, err = m.append([]byte(magic))
	return err
}

// Sync makes durable what was recorded so far.
func (m *Manifest) Sync() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.open {
		return nil
	}
	if err := m.files[1].f.Sync(); err != nil {
		return fmt.Errorf("sync manifest log: %w", err)
	}
	return nil
}

// Close makes everything durable. A long log is folded into the manifest; a
// manifest that was not changed is not written. It can be used on.
func (m *Manifest) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.open {
		return nil
	}
	if m.files[1].size*4 > m.files[0].size {
		return m.fold()
	}
	if err := m.files[1].f.Sync(); err != nil {
		return fmt.Errorf("close manifest log: %w", err)
	}
	return nil
}

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
		return fmt.Errorf("write manifest: %w", errors.Join(err, f.Close()))
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
		_, err := m.files[file].each(m.files[file].size, func(offset int64, path string, g *Group) error {
			k := keyOf(path)
			if m.index[k] != at(file, offset) {
				return nil
			}
			// Never mistaken for a place in a file that is still to be read: each
			// path is living once, and its record comes but once.
			m.index[k] = at(0, size)
			n, err := w.Write(record(path, g.Stats, g.Flags))
			size += int64(n)
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return size, errors.Join(w.Flush(), f.Sync())
}
