package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/printable"
)

// Lists are the files of all that is found row by row.
type Lists struct {
	Dir   string   // "": nothing is written
	Files []string // that were written
	sinks map[string]*sink
}

// sink is a file of JSON lines, 0600.
type sink struct {
	f *os.File
	w *bufio.Writer
}

// Line appends v to the named file of the report folder.
func (l *Lists) Line(name string, v any) (err error) {
	if l.Dir == "" {
		return nil // a rehearsal leaves nothing behind
	}
	s := l.sinks[name]
	if s == nil {
		if s, err = l.open(filepath.Join(l.Dir, name)); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		if l.sinks == nil {
			l.sinks = map[string]*sink{}
		}
		l.sinks[name], l.Files = s, append(l.Files, s.f.Name())
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	_, err = s.w.Write(append(printable.JSON(raw), '\n'))
	return err
}

// open begins a file. An earlier report of the cluster's writes is put aside:
// nothing else remembers them.
func (l *Lists) open(path string) (*sink, error) {
	if err := durable.MakeFolder(l.Dir); err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && filepath.Base(path) == clusterWrites {
		aside := strings.TrimSuffix(path, ".jsonl") + info.ModTime().UTC().Format("-20060102T150405.000Z") + ".jsonl"
		if err := os.Rename(path, aside); err != nil {
			return nil, err
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &sink{f: file, w: bufio.NewWriter(file)}, durable.OwnAs(path, l.Dir)
}

// RemoveOld deletes the lists of an earlier run that did not get through.
func (l *Lists) RemoveOld() error {
	for _, name := range []string{ProblemsFile, quarantineFile} {
		if err := os.Remove(filepath.Join(l.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove old report: %w", err)
		}
	}
	return nil
}

// All says where all of the rows stand that a problem names some of.
func (l *Lists) All() string {
	if l.Dir == "" {
		return ""
	}
	return " (all: " + filepath.Join(l.Dir, ProblemsFile) + ")"
}

// rewind empties a file that this call has begun: what goes there comes again.
func (l *Lists) rewind(name string) {
	if s := l.sinks[name]; s != nil {
		s.w.Reset(s.f)
		_ = s.f.Truncate(0) // else lines are there twice
		_, _ = s.f.Seek(0, io.SeekStart)
	}
}

// Save closes the files.
func (l *Lists) Save() error {
	for name, s := range l.sinks {
		delete(l.sinks, name)
		if err := errors.Join(s.w.Flush(), s.f.Sync(), s.f.Close()); err != nil {
			return fmt.Errorf("write report %s: %w", s.f.Name(), err)
		}
	}
	return nil
}

// clusterWrites is the file of rows that the cluster has written.
const clusterWrites = "cluster-writes.jsonl"

// Write notes a row that the cluster has added, changed or deleted, without
// secret values.
func (l *Lists) Write(t *Table, d Difference, fate string) error {
	values := map[string]any{}
	for i, field := range d.Row {
		c := &t.Columns[i]
		switch v := c.shown(field); {
		case v.IsNull():
			values[c.Name] = nil
		case c.Secret:
			values[c.Name] = "********"
		default:
			values[c.Name] = strings.ToValidUTF8(v.String(), "\ufffd")
		}
	}
	return l.Line(clusterWrites, struct {
		Columns []string       `json:"columns,omitempty"`
		Fate    string         `json:"fate,omitempty"`
		Key     string         `json:"key"`
		Kind    string         `json:"kind"`
		Row     map[string]any `json:"row,omitempty"`
		Table   string         `json:"table"`
	}{d.Columns, fate, d.Key, d.Kind, values, t.Name})
}
