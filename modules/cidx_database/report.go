package database

import (
	"fmt"
	"maps"
	"slices"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
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
	if r.secrets != nil {
		keys := map[string]any{}
		maps.Copy(keys, r.kept.report)
		if r.trial != nil {
			maps.Copy(keys, r.trial.report())
		}
		out.Data["secrets"] = keys
	}
	if len(r.finds.counts) > 0 {
		out.Data["problem_counts"] = r.finds.counts
	}
	if len(r.lists.files) > 0 {
		out.Data["reports"] = r.lists.files
	}
	out.Data["seconds_by_part"] = r.clock.parts
	return out
}

func (r *runner) describePlan(data map[string]any) {
	if r.done == nil { // it did not come to a passage
		r.done = r.plan.transfers()
	}
	sum := r.done.totals()
	if data["tables"] == nil {
		tables := []map[string]any{}
		for _, t := range r.done {
			if t.conn == nil {
				continue
			}
			item := map[string]any{"table": t.Name, "file": t.File, "rows": t.rows, "status": t.status}
			if t.guests != nil {
				item["kept_rows"] = int64(len(t.guests.ids)) + t.guests.beside
			}
			tables = append(tables, item)
		}
		data["tables"], data["rows"] = tables, sum.rows
	}
	data["skipped_tables"] = r.plan.skipped
	data["jobs_failed"], data["paths_rewritten"], data["defaults_set"] = sum.changes.jobs, sum.changes.paths, sum.changes.nulls
	data["quarantined"] = r.quarantined
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
