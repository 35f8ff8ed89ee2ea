// Package manifest keeps what is known of a copy, folder by folder: the state of
// the source that it was made of, and how far it was proven.
package manifest

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/regular"
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
	fault error      // a record that was there could not be read
}

// key stands for a folder's path. Of two paths with one key the manifest would
// know the later one only, and the other folder be looked at again.
type key uint64

var seed = maphash.MakeSeed()

func keyOf(path string) key { return key(maphash.String(seed, path)) }

// key is that of the record's folder.
func (p parsed) key() key { return key(maphash.Bytes(seed, p.path)) }

// place is where a record begins: in the log if the lowest bit is set. The next
// one says that its folder was met.
type place int64

const met place = 2

func at(file int, offset int64) place { return place(offset<<2 | int64(file)) }

func (p place) in() (file int, offset int64) { return int(p & 1), int64(p >> 2) }

const magic = "cidx-manifest 4\n"

// Open reads the manifest at path with its log. Files that do not exist
// are an empty manifest; damage ends the reading of a file where it begins,
// since a forgotten folder is only looked at again. Nothing is written before
// the first Put or Drop.
func Open(path string) (*Manifest, error) {
	m := &Manifest{path: path}
	for file, name := range []string{path, path + ".log"} {
		f, err := regular.Open(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		m.files[file].f = f
	}
	return m, m.read()
}

// New returns an empty manifest that cannot be written.
func New() *Manifest { return &Manifest{index: map[key]place{}} }

// read finds the records of both files, until the end of each or the first
// damaged one.
func (m *Manifest) read() error {
	m.index = map[key]place{}
	for file := range m.files {
		r := &m.files[file]
		if r.f == nil {
			continue
		}
		info, err := r.f.Stat()
		if err != nil {
			return fmt.Errorf("read manifest: %w", err)
		}
		if r.size = info.Size(); file == 0 {
			m.index = make(map[key]place, r.size/usual)
		}
		whole, err := r.each(r.size, func(offset int64, p parsed) error {
			if m.index[p.key()] = at(file, offset); len(p.stats) == 0 {
				delete(m.index, p.key())
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read manifest: %w", err)
		}
		m.torn = m.torn || !whole
	}
	return nil
}

// usual is what a record takes in a file.
const usual = 160

// Len returns the number of folders.
func (m *Manifest) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.index)
}

// Group returns what is kept of a folder, nil if nothing. Where it cannot be read
// the answer is nil, and Sync and Close tell.
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
	if err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.fault = fmt.Errorf("read manifest: %q: %w", path, err)
	}
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
		_, err := files[file].each(files[file].size, func(offset int64, p parsed) error {
			m.mu.Lock()
			living := m.index[p.key()]&^met == at(file, offset)
			m.mu.Unlock()
			if !living {
				return nil
			}
			return f(string(p.path), p.group())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Meet notes that a walk has come to a folder.
func (m *Manifest) Meet(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := keyOf(path)
	if p, ok := m.index[k]; ok {
		m.index[k] = p | met
	}
}

// Unmet calls f for every folder to which no walk has come since it was called last.
func (m *Manifest) Unmet(f func(path string, g *Group) error) error {
	m.mu.Lock()
	files, places := m.files, []place{}
	for k, p := range m.index {
		if p&met == 0 {
			places = append(places, p)
		}
		m.index[k] = p &^ met
	}
	m.mu.Unlock()
	for _, p := range places {
		file, offset := p.in()
		path, g, err := files[file].at(offset)
		if err != nil {
			return fmt.Errorf("read manifest: %w", err)
		}
		if err := f(path, g); err != nil {
			return err
		}
	}
	return nil
}

// Put records the state of a folder's copy and appends it to the log.
func (m *Manifest) Put(path string, stats, flags []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	offset, err := m.append(record([]byte(path), stats, flags))
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
	_, err := m.append(record([]byte(path), nil, nil))
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
	if err != nil { // what came after a part of a record would not be read
		m.torn, m.open = true, false
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
	if m.fault != nil || !m.open {
		return m.fault
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
	if m.fault != nil || !m.open {
		return m.fault
	}
	if m.files[1].size*4 > m.files[0].size {
		return m.fold()
	}
	if err := m.files[1].f.Sync(); err != nil {
		return fmt.Errorf("close manifest log: %w", err)
	}
	return nil
}
