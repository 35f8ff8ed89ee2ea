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
	"cidx-cluster/modules/internal/keyring"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/loaded"
	"cidx-cluster/modules/internal/origin"
	"cidx-cluster/modules/internal/plan"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/scratch"
	"cidx-cluster/modules/internal/warm"
)

// settings are what a call was told, and what it found of the server when it
// began. They never change.
type settings struct {
	origin.Server
	args   args
	mode   ansible.Mode
	dsn    string
	zone   *time.Location
	moment time.Time // of this call
}

// work is what a call works on. Each part is there once it was opened or made,
// and is what it is from then on.
type work struct {
	*settings
	*load.Notes
	*load.Session // with PostgreSQL
	source        *origin.Source
	checked       func() error // waits for the check of the source's small databases
	keys          *keyring.Ring
	trial         *keyring.Trial // of the keys
	plan          *plan.Plan
	held          holding
}

// holding is what the target holds of earlier runs.
type holding struct {
	marker   *loaded.Marker // of the migration; nil if none
	replaces string         // source_id of an earlier load that no server has worked on
	warm     warm.Found
}

// rolledBack reports whether what the target holds was given up.
func (h *holding) rolledBack() bool { return h.marker != nil && h.marker.RolledBack != "" }

// runner is one call of the module: its work, and what came of it.
type runner struct {
	crossing
	out    ansible.Reply
	loaded load.Outcome
}

// newSettings reads configuration and layout. The error is a problem.Problem or more.
func newSettings(ctx context.Context, a args, mode ansible.Mode) (*settings, error) {
	s := &settings{Server: origin.Server{Home: a.Home, State: a.State()}, args: a, mode: mode,
		zone: time.Local, moment: time.Now().UTC().Truncate(time.Microsecond)}
	var problems problem.List
	config, err := a.ClusterConfig(ctx)
	if a.DSN == "" || config.Path == "" {
		problems.Add(err)
	}
	s.Config, s.dsn = config, config.DSN
	if a.DSN != "" {
		s.dsn = a.DSN
	}
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
	if s.Layout, err = home.Detect(a.Home, share); err != nil {
		return nil, err
	}
	if a.PathSpelling == "mount" {
		s.Moves = s.Layout.Moves(s.Config)
	}
	return s, nil
}

func newRun(ctx context.Context, a args, mode ansible.Mode) (*runner, error) {
	s, err := newSettings(ctx, a, mode)
	if err != nil {
		return nil, err
	}
	n := &load.Notes{Meter: load.StartMeter(ctx), Lists: load.Lists{Dir: s.listsFolder()}, Clock: load.StartStopwatch()}
	return &runner{crossing: crossing{work: work{settings: s, Notes: n}}, out: ansible.Reply{Data: map[string]any{}}}, nil
}

// listsFolder is where the complete lists of what is found go; "" if nowhere.
func (s *settings) listsFolder() string {
	if !s.mode.Check {
		return s.State.Report()
	}
	if cache := os.Getenv(scratch.HelperFolder); cache != "" {
		return filepath.Join(cache, "rehearsal")
	}
	return ""
}

func (r *runner) connect(ctx context.Context) (err error) {
	r.Session, err = load.Connect(ctx, r.dsn, r.args.loading())
	if err == nil {
		r.out.Data["postgres_version"] = r.Catalog.Server.Release()
	}
	return err
}

func (r *runner) close() {
	r.Meter.Stop()
	r.Session.Close()
	r.source.Close()
}

// reply puts together what is told, also after a failure.
func (r *runner) reply() ansible.Reply {
	out := r.out
	out.Warnings = r.Warnings
	if r.plan != nil {
		r.describePlan(out.Data)
	}
	if r.keys != nil {
		keys := map[string]any{}
		if r.stored != nil {
			maps.Copy(keys, r.stored.Report)
		}
		if r.trial != nil {
			maps.Copy(keys, r.trial.Report())
		}
		out.Data["secrets"] = keys
	}
	if len(r.loaded.Finds.Counts) > 0 {
		out.Data["problem_counts"] = r.loaded.Finds.Counts
	}
	if len(r.Lists.Files) > 0 {
		out.Data["reports"] = r.Lists.Files
	}
	out.Data["seconds_by_part"] = r.Clock.Parts
	return out
}

func (r *runner) describePlan(data map[string]any) {
	tables := r.loaded.Tables
	if tables == nil { // it did not come to a passage
		tables = r.engine().Passage().Every
	}
	sum := tables.Totals()
	if data["tables"] == nil {
		list := []map[string]any{}
		for _, t := range tables {
			if t.Conn == nil {
				continue
			}
			item := map[string]any{"table": t.Name, "file": t.File, "rows": t.Rows, "status": t.Status}
			if t.Guests != nil {
				item["kept_rows"] = t.Guests.Stay()
			}
			list = append(list, item)
		}
		data["tables"], data["rows"] = list, sum.Rows
	}
	data["skipped_tables"] = r.plan.Skipped
	data["jobs_failed"], data["paths_rewritten"], data["defaults_set"] = sum.Changes.Jobs, sum.Changes.Paths, sum.Changes.Nulls
	data["quarantined"] = r.loaded.Quarantined
}

// listMarks tells what an earlier load has done.
func (r *runner) listMarks(m *loaded.Marker, status string) {
	tables := []map[string]any{}
	for _, entry := range cidx.Catalogue {
		if mark, ok := m.Tables[entry.Name]; ok {
			tables = append(tables, map[string]any{"table": entry.Name, "file": entry.File, "rows": mark.Rows, "status": status})
		}
	}
	r.out.Data["tables"], r.out.Data["rows"] = tables, m.Rows()
}

// makePlan plans a load of that moment.
func (w *work) makePlan(moment time.Time) (err error) {
	w.plan, err = plan.Make(w.source, w.Catalog, plan.Rules{Home: w.Home, Moves: w.Moves, Zone: w.zone, Moment: moment,
		Accepted: w.accepted}, w.Notes)
	return err
}

// loading reports whether rows are to move.
func (a args) loading() bool { return a.Phase == phaseLoad || a.Phase == phaseWarm }

// accepted reports whether the operator lets something stay behind. After the
// load that is no longer the question.
func (s *settings) accepted(name string) bool {
	return !s.args.loading() || slices.Contains(s.args.Accept, name)
}
