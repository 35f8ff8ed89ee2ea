package tree

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"cidx-cluster/modules/internal/durable"
)

// Manifest remembers, folder by folder, which source state was copied. It lives
// in two files: path, written by rename, and path+".log", to which every Put and
// Drop is appended at once, so that a killed run loses at most what it was just
// doing. Its methods may be called from several goroutines.
type Manifest struct {
	path   string
	mu     sync.Mutex
	groups map[string]*Group
	log    *os.File
	base   int64 // size of the manifest file
	logged int64 // size of the log
	torn   bool  // a file ends in a damaged record: write anew before appending
}

const magic = "cidx-manifest 2\n"

// OpenManifest reads the manifest at path with its log. Files that do not exist
// are an empty manifest; damage ends the reading of a file where it begins,
// since a forgotten folder is only looked at again. Nothing is written before
// the first Put or Drop.
func OpenManifest(path string) (*Manifest, error) {
	m := &Manifest{path: path, groups: map[string]*Group{}}
	for _, file := range []string{path, path + ".log"} {
		raw, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		if strings.HasPrefix(string(raw[:min(len(raw), len(magic))]), magic) {
			m.torn = !m.read(raw[len(magic):]) || m.torn
		}
		if file == path {
			m.base = int64(len(raw))
		} else {
			m.logged = int64(len(raw))
		}
	}
	m.torn = m.torn || m.logged > 0 && m.logged < int64(len(magic))
	return m, nil
}

// read takes records over until the end or the first damaged one.
func (m *Manifest) read(raw []byte) (whole bool) {
	for len(raw) > 0 {
		r := reader{rest: raw}
		path, stats, flags := r.bytes(), r.bytes(), r.bytes()
		body := raw[:len(raw)-len(r.rest)]
		if r.broken || len(r.rest) < 4 || binary.LittleEndian.Uint32(r.rest) != crc32.ChecksumIEEE(body) {
			return false
		}
		raw = r.rest[4:]
		if len(stats) == 0 {
			delete(m.groups, string(path))
			continue
		}
		m.groups[string(path)] = &Group{Stats: stats, Flags: flags}
	}
	return true
}

// Len returns the number of folders.
func (m *Manifest) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.groups)
}

// Group returns what is kept of a folder, nil if nothing. The answer must not
// be changed.
func (m *Manifest) Group(path string) *Group {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.groups[path]
}

// See is Group that also notes that the folder still exists, for Unseen.
func (m *Manifest) See(path string) *Group {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.groups[path]
	if g != nil {
		g.seen = true
	}
	return g
}

// Unseen returns the folders that See was never asked for.
func (m *Manifest) Unseen() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for path, g := range m.groups {
		if !g.seen {
			list = append(list, path)
		}
	}
	return list
}

// Each calls f for every folder, in no order, until it returns false.
func (m *Manifest) Each(f func(path string, g *Group) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for path, g := range m.groups {
		if !f(path, g) {
			return
		}
	}
}

// Put records the state of a folder's copy and appends it to the log.
func (m *Manifest) Put(path string, stats, flags []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.groups[path] = &Group{Stats: stats, Flags: flags, seen: true}
	return m.append(record(path, stats, flags))
}

// Drop forgets a folder.
func (m *Manifest) Drop(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.groups[path]; !ok {
		return nil
	}
	delete(m.groups, path)
	return m.append(record(path, nil, nil))
}

// Forget drops everything, as if there had never been a copy.
func (m *Manifest) Forget() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.groups) == 0 {
		return nil
	}
	m.groups = map[string]*Group{}
	return m.fold()
}

func record(path string, stats, flags []byte) []byte {
	b := make([]byte, 0, len(path)+len(stats)+len(flags)+16)
	b = appendText(b, path)
	b = appendText(b, string(stats))
	b = appendText(b, string(flags))
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func (m *Manifest) append(b []byte) error {
	if m.log == nil {
		if err := m.openLog(); err != nil {
			return err
		}
	}
	n, err := m.log.Write(b)
	m.logged += int64(n)
	if err != nil {
		return fmt.Errorf("write manifest log: %w", err)
	}
	return nil
}

func (m *Manifest) openLog() error {
	if m.torn {
		if err := m.fold(); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(m.path+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open manifest log: %w", err)
	}
	m.log = f
	if m.logged == 0 {
		if err := durable.SyncFolder(filepath.Dir(m.path)); err != nil { // its name is to outlive a power cut
			return err
		}
		return m.append([]byte(magic))
	}
	return nil
}

// Close makes everything durable. A long log is folded into the manifest; a
// manifest that was not changed is not written.
func (m *Manifest) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.log == nil {
		return nil
	}
	if m.logged*4 > m.base {
		return m.fold()
	}
	err := errors.Join(m.log.Sync(), m.log.Close())
	m.log = nil
	if err != nil {
		return fmt.Errorf("close manifest log: %w", err)
	}
	return nil
}

// fold writes the manifest anew, by rename, and removes the log.
func (m *Manifest) fold() error {
	if m.log != nil {
		if err := m.log.Close(); err != nil {
			return fmt.Errorf("close manifest log: %w", err)
		}
		m.log = nil
	}
	temporary := m.path + ".tmp"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	defer f.Close()
	size, err := m.writeTo(f)
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if err := os.Rename(temporary, m.path); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if err := os.Remove(m.path + ".log"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove manifest log: %w", err)
	}
	m.base, m.logged, m.torn = size, 0, false
	return durable.SyncFolder(filepath.Dir(m.path))
}

func (m *Manifest) writeTo(f *os.File) (size int64, err error) {
	w := bufio.NewWriterSize(f, 1<<20)
	n, err := w.WriteString(magic)
	if err != nil {
		return 0, err
	}
	size = int64(n)
	for path, g := range m.groups {
		n, err := w.Write(record(path, g.Stats, g.Flags))
		if err != nil {
			return 0, err
		}
		size += int64(n)
	}
	return size, errors.Join(w.Flush(), f.Sync(), f.Close())
}

// NewManifest returns an empty manifest that cannot be written.
func NewManifest() *Manifest { return &Manifest{groups: map[string]*Group{}} }
