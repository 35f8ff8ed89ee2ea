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
	"slices"
	"strings"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/printable"
	"cidx-cluster/modules/internal/problem"
)

// warnings are told once each.
type warnings []string

func (w *warnings) add(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(*w, text) {
		*w = append(*w, text)
	}
}

// listed is how many problems stand in a reply; the complete list is in
// report/problems.jsonl.
const listed = 50

// reply puts together what is told, also after a failure.
func (r *runner) reply() ansible.Reply {
	out := r.out
	out.Warnings = r.warnings
	if r.plan != nil {
		r.describePlan(out.Data)
	}
	if len(r.finds.counts) > 0 {
		out.Data["problem_counts"] = r.finds.counts
	}
	if len(r.finds.files) > 0 {
		out.Data["reports"] = r.finds.files
	}
	out.Data["seconds_by_part"] = r.clock.parts
	return out
}

func (r *runner) describePlan(data map[string]any) {
	if data["tables"] == nil {
		tables := []map[string]any{}
		for _, t := range r.plan.tables {
			if t.conn == nil {
				continue
			}
			item := map[string]any{"table": t.Name, "file": t.File, "rows": t.rows, "status": t.status}
			if t.guests != nil {
				item["kept_rows"] = int64(len(t.guests.ids)) + t.guests.beside
			}
			tables = append(tables, item)
		}
		data["tables"], data["rows"] = tables, r.total()
	}
	data["skipped_tables"] = r.plan.skipped
	data["jobs_failed"], data["paths_rewritten"], data["defaults_set"] = r.changes.jobs, r.changes.paths, r.changes.nulls
	data["quarantined"] = r.finds.quarantined
}

// listMarks tells what an earlier load has done.
func (r *runner) listMarks(m *marker, status string) {
	tables := []map[string]any{}
	for _, entry := range cidx.Catalogue {
		if mark, ok := m.Tables[entry.Name]; ok {
			tables = append(tables, map[string]any{"table": entry.Name, "file": entry.File, "rows": mark.Rows, "status": status})
		}
	}
	r.out.Data["tables"], r.out.Data["rows"] = tables, sumRows(m.Tables)
}

// finds collects what was found row by row: some of it in memory for the reply,
// all of it in files.
type finds struct {
	problems    problem.List
	counts      map[string]int64
	quarantined int64
	files       []string
	sinks       map[string]*sink
	dir         string // where the files are written; "" until needed
}

// sink is a file of JSON lines, 0600.
type sink struct {
	path string
	f    *os.File
	w    *bufio.Writer
}

// line appends v to the named file of the report folder.
func (f *finds) line(name string, v any) error {
	if f.dir == "" {
		return nil // a rehearsal leaves nothing behind
	}
	s := f.sinks[name]
	if s == nil {
		if err := durable.MakeFolder(f.dir); err != nil {
			return err
		}
		if err := keepOld(filepath.Join(f.dir, name)); err != nil {
			return err
		}
		file, err := os.OpenFile(filepath.Join(f.dir, name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		if err := durable.OwnAs(file.Name(), f.dir); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		s = &sink{path: file.Name(), f: file, w: bufio.NewWriter(file)}
		if f.sinks == nil {
			f.sinks = map[string]*sink{}
		}
		f.sinks[name] = s
		f.files = append(f.files, s.path)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	_, err = s.w.Write(append(printable.JSON(raw), '\n'))
	return err
}

// removeOldReports deletes the lists of an earlier run that did not get through.
func (r *runner) removeOldReports() error {
	for _, name := range []string{problemsFile, quarantineFile} {
		if err := os.Remove(filepath.Join(r.finds.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove old report: %w", err)
		}
	}
	return nil
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
func (f *finds) rewind(name string) {
	if s := f.sinks[name]; s != nil {
		s.w.Reset(s.f)
		_ = s.f.Truncate(0) // else lines are there twice
		_, _ = s.f.Seek(0, io.SeekStart)
	}
}

// save closes the files.
func (f *finds) save() error {
	for name, s := range f.sinks {
		err := s.w.Flush()
		if syncing := s.f.Sync(); err == nil {
			err = syncing
		}
		if closing := s.f.Close(); err == nil {
			err = closing
		}
		delete(f.sinks, name)
		if err != nil {
			return fmt.Errorf("write report %s: %w", s.path, err)
		}
	}
	return nil
}

// clusterWrites is the file of rows that the cluster has written.
const clusterWrites = "cluster-writes.jsonl"

// write notes a row that the cluster has added, changed or deleted, without
// secret values.
func (f *finds) write(t *table, d difference, fate string) {
	values := map[string]any{}
	for i, field := range d.Row {
		c := &t.columns[i]
		switch v := c.shown(field); {
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
	if err := f.line(clusterWrites, line); err != nil && f.problems == nil {
		f.problems.Add(err)
	}
}
