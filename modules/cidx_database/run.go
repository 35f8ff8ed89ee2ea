package database

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
	_ "time/tzdata" // the host may have no zone files

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// settings are what a call was told, and what it found of the server when it
// began. They never change.
type settings struct {
	args   args
	mode   ansible.Mode
	state  home.State
	dsn    string
	where  string // the database, without its password
	config home.Config
	layout home.Layout
	moves  map[string]string // path prefixes, old to new
	zone   *time.Location
	moment time.Time // of this call
}

// work is what a call works on. Each part is there once it was opened or made,
// and is what it is from then on.
type work struct {
	*settings
	*notes
	*session // with PostgreSQL
	source   *source
	checked  func() error // waits for the check of the source's small databases
	secrets  *secrets
	plan     *plan
	held     holding
}

// holding is what the target holds of earlier runs.
type holding struct {
	marker   *marker // of the migration; nil if none
	replaces string  // source_id of an earlier load that no server has worked on
	warm     *warmth // of a warm load; nil if nothing
	database string  // which one of PostgreSQL's it is: see warm.Database
}

// rolledBack reports whether what the target holds was given up.
func (h *holding) rolledBack() bool { return h.marker != nil && h.marker.RolledBack != "" }

// runner is one call of the module: its work, and what came of it.
type runner struct {
	work
	out         ansible.Reply
	trial       *trial     // of its keys
	done        transfers  // of the last passage
	kept        storedKeys // by the last passage
	finds       finds
	quarantined int64
}

// newSettings reads configuration and layout. The error is a problem.Problem or more.
func newSettings(ctx context.Context, a args, mode ansible.Mode) (*settings, error) {
	s := &settings{args: a, mode: mode, state: a.State(), zone: time.Local, moment: time.Now().UTC().Truncate(time.Microsecond)}
	var problems problem.List
	config, err := a.ClusterConfig(ctx)
	if a.DSN == "" || config.Path == "" {
		problems.Add(err)
	}
	s.config, s.dsn = config, config.DSN
	if a.DSN != "" {
		s.dsn = a.DSN
	}
	s.where = postgres.WhereDSN(s.dsn)
	share, err := a.MountPoint(config)
	if err != nil && a.PathSpelling == "mount" && config.Path != "" {
		problems.Add(err)
	}
	if a.TimeZone != "" {
		if s.zone, err = time.LoadLocation(a.TimeZone); err != nil {
			problems = append(problems, problem.Problem{What: fmt.Sprintf("unknown time zone %q", a.TimeZone), At: "time_zone",
				Fix: "give a name such as Europe/Berlin, or leave it out"})
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	if s.layout, err = home.Detect(a.Home, share); err != nil {
		return nil, err
	}
	if a.PathSpelling == "mount" {
		s.moves = s.layout.Moves(s.config)
	}
	return s, nil
}

func newRun(ctx context.Context, a args, mode ansible.Mode) (*runner, error) {
	s, err := newSettings(ctx, a, mode)
	if err != nil {
		return nil, err
	}
	n := &notes{meter: load.StartMeter(ctx), lists: lists{dir: s.listsFolder()},
		clock: stopwatch{time.Now(), map[string]float64{}}}
	return &runner{work: work{settings: s, notes: n}, out: ansible.Reply{Data: map[string]any{}}}, nil
}

// listsFolder is where the complete lists of what is found go; "" if nowhere.
func (s *settings) listsFolder() string {
	if !s.mode.Check {
		return s.state.Report()
	}
	if cache := os.Getenv("CIDX_HELPER_DIR"); cache != "" {
		return filepath.Join(cache, "rehearsal")
	}
	return ""
}

func (r *runner) connect(ctx context.Context) (err error) {
	if r.session, err = connect(ctx, r.settings); err == nil {
		r.out.Data["postgres_version"] = r.catalog.Server.Release()
	}
	return err
}

func (r *runner) close() {
	r.meter.Stop()
	r.session.close()
	r.source.close()
}

// notes are what a call tells while it works, and keeps for its reply.
type notes struct {
	warnings warnings
	clock    stopwatch
	meter    *load.Meter
	lists    lists
}

// stopwatch collects how long each part took.
type stopwatch struct {
	last  time.Time
	parts map[string]float64
}

// lap books the time since the last call under a name.
func (s *stopwatch) lap(name string) {
	now := time.Now()
	s.parts[name] += float64(now.Sub(s.last).Milliseconds()) / 1000
	s.last = now
}

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
			if t.Conn == nil {
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
	data["jobs_failed"], data["paths_rewritten"], data["defaults_set"] = sum.changes.Jobs, sum.changes.Paths, sum.changes.Nulls
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
