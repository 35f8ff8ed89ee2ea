package database

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
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/printable"
)

// lists are the files of all that is found row by row.
type lists struct {
	dir   string // "": nothing is written
	files []string
	sinks map[string]*sink
}

// sink is a file of JSON lines, 0600.
type sink struct {
	path string
	f    *os.File
	w    *bufio.Writer
}

// line appends v to the named file of the report folder.
func (l *lists) line(name string, v any) error {
	if l.dir == "" {
		return nil // a rehearsal leaves nothing behind
	}
	s := l.sinks[name]
	if s == nil {
		if err := durable.MakeFolder(l.dir); err != nil {
			return err
		}
		if err := keepOld(filepath.Join(l.dir, name)); err != nil {
			return err
		}
		file, err := os.OpenFile(filepath.Join(l.dir, name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		if err := durable.OwnAs(file.Name(), l.dir); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		s = &sink{path: file.Name(), f: file, w: bufio.NewWriter(file)}
		if l.sinks == nil {
			l.sinks = map[string]*sink{}
		}
		l.sinks[name] = s
		l.files = append(l.files, s.path)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	_, err = s.w.Write(append(printable.JSON(raw), '\n'))
	return err
}

// removeOld deletes the lists of an earlier run that did not get through.
func (l *lists) removeOld() error {
	for _, name := range []string{problemsFile, quarantineFile} {
		if err := os.Remove(filepath.Join(l.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove old report: %w", err)
		}
	}
	return nil
}

// all says where all of the rows stand that a problem names some of.
func (l *lists) all() string {
	if l.dir == "" {
		return ""
	}
	return " (all: " + filepath.Join(l.dir, problemsFile) + ")"
}

// keepOld puts an earlier report of the cluster's writes aside: nothing else
// remembers them.
func keepOld(path string) error {
	info, err := os.Stat(path)
	if err != nil || filepath.Base(path) != clusterWrites {
		return nil
	}
	aside := strings.TrimSuffix(path, ".jsonl") + info.ModTime().UTC().Format("-20060102T150405.000Z") + ".jsonl"
	if err := os.Rename(path, aside); err != nil {
		return fmt.Errorf("put earlier report aside: %w", err)
	}
	return nil
}

// rewind empties a file that this call has begun: what goes there comes again.
func (l *lists) rewind(name string) {
	if s := l.sinks[name]; s != nil {
		s.w.Reset(s.f)
		_ = s.f.Truncate(0) // else lines are there twice
		_, _ = s.f.Seek(0, io.SeekStart)
	}
}

// save closes the files.
func (l *lists) save() error {
	for name, s := range l.sinks {
		delete(l.sinks, name)
		if err := errors.Join(s.w.Flush(), s.f.Sync(), s.f.Close()); err != nil {
			return fmt.Errorf("write report %s: %w", s.path, err)
		}
	}
	return nil
}

// clusterWrites is the file of rows that the cluster has written.
const clusterWrites = "cluster-writes.jsonl"

// write notes a row that the cluster has added, changed or deleted, without
// secret values.
func (l *lists) write(t *table, d load.Difference, fate string) error {
	values := map[string]any{}
	for i, field := range d.Row {
		c := &t.Columns[i]
		switch v := c.Shown(field); {
		case v.IsNull():
			values[c.Name] = nil
		case c.Secret:
			values[c.Name] = "********"
		default:
			values[c.Name] = strings.ToValidUTF8(v.String(), "\ufffd")
		}
	}
	line := map[string]any{"table": t.Name, "key": d.Key, "kind": d.Kind}
	if fate != "" {
		line["fate"] = fate
	}
	if len(d.Columns) > 0 {
		line["columns"] = d.Columns
	}
	if len(values) > 0 {
		line["row"] = values
	}
	return l.line(clusterWrites, line)
}
