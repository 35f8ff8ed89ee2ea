package database

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
	_ "time/tzdata" // the host may have no zone files

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// settings are what a call was told, and what it found of the server when it
// began. They never change.
type settings struct {
	args   args
	mode   ansible.Mode
	state  cidx.State
	dsn    string
	where  string // the database, without its password
	config cidx.Config
	layout cidx.Layout
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
	if s.layout, err = cidx.Detect(a.Home, share); err != nil {
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
	n := &notes{meter: startMeter(ctx, a.ProgressSeconds), lists: lists{dir: s.listsFolder()},
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
	r.meter.stop()
	r.session.close()
	r.source.close()
}

// notes are what a call tells while it works, and keeps for its reply.
type notes struct {
	warnings warnings
	clock    stopwatch
	meter    *meter
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
