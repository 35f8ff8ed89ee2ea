package database

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
	_ "time/tzdata" // the host may have no zone files

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// application is how our session calls itself in pg_stat_activity.
const application = "cidx-cluster"

// run is one call of the module.
type runner struct {
	args    args
	mode    ansible.Mode
	state   cidx.State
	dsn     string
	where   string // the database, without its password
	config  cidx.Config
	current string // storage_mode of config.json as it is
	layout  cidx.Layout
	moves   map[string]string // path prefixes, old to new
	zone    *time.Location
	temp    string // folder for temporary copies; made when needed

	source  *source
	conn    *pgconn.PgConn
	catalog *postgres.Catalog
	plan    *plan
	secrets *secrets
	marker  *marker // of the migration that the target holds; nil if none

	replaces string // source_id of an earlier load that no server has worked on
	moment   time.Time
	meter    *meter

	out       ansible.Reply
	finds     finds
	changes   tally
	warnings  warnings
	clock     stopwatch
	committed bool         // by this call
	checked   func() error // waits for checkSmall
}

// newRun reads configuration and layout. The error is a problem.Problem or more.
func newRun(ctx context.Context, a args, mode ansible.Mode) (*runner, error) {
	r := &runner{args: a, mode: mode, state: a.State(), zone: time.Local, moment: time.Now().UTC().Truncate(time.Microsecond)}
	r.out.Data = map[string]any{}
	var problems problem.List
	config, err := a.ClusterConfig(ctx)
	if a.DSN == "" || config.Path == "" {
		problems.Add(err)
	}
	r.config, r.dsn, r.current = config, config.DSN, storageMode(ctx, a.Home)
	if a.DSN != "" {
		r.dsn = a.DSN
	}
	r.where = postgres.WhereDSN(r.dsn)
	share, err := a.MountPoint(config)
	if err != nil && a.PathSpelling == "mount" && config.Path != "" {
		problems.Add(err)
	}
	if a.TimeZone != "" {
		if r.zone, err = time.LoadLocation(a.TimeZone); err != nil {
			problems = append(problems, problem.Problem{What: fmt.Sprintf("unknown time zone %q", a.TimeZone), At: "time_zone", Fix: "give a name such as Europe/Berlin, or leave it out"})
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	if r.layout, err = cidx.Detect(a.Home, share); err != nil {
		return nil, err
	}
	if a.PathSpelling == "mount" {
		r.moves = r.layout.Moves(r.config)
	}
	r.finds.dir = r.state.Report()
	if mode.Check {
		r.finds.dir = ""
		if cache := os.Getenv("CIDX_HELPER_DIR"); cache != "" {
			r.finds.dir = filepath.Join(cache, "rehearsal")
		}
	}
	return r, nil
}

// storageMode is the mode that config.json names now; ClusterConfig may have
// answered from the copy that is kept after a rollback.
func storageMode(ctx context.Context, home string) string {
	config, err := cidx.ReadConfig(ctx, filepath.Join(home, "config.json"))
	if err != nil {
		return ""
	}
	return config.StorageMode
}

// folder is a private folder for temporary copies, removed by close.
func (r *runner) folder() (string, error) {
	if r.temp != "" {
		return r.temp, nil
	}
	base := os.Getenv("CIDX_HELPER_DIR")
	if base != "" {
		base = filepath.Join(base, "tmp")
		if err := os.MkdirAll(base, 0o700); err != nil {
			return "", fmt.Errorf("make temporary folder: %w", err)
		}
		sweep(base)
	}
	dir, err := os.MkdirTemp(base, "cidx-database-")
	if err != nil {
		return "", problem.Problem{What: err.Error(), At: base, Fix: "free space in the folder for temporary files (cidx_helper_dir)"}
	}
	r.temp = dir
	return dir, nil
}

// sweep removes copies that a killed run of another day has left.
func sweep(base string) {
	old, _ := filepath.Glob(filepath.Join(globEscape(base), "cidx-database-*"))
	for _, dir := range old {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			_ = os.RemoveAll(dir) // what stays is tried again the next time
		}
	}
}

func (r *runner) close() {
	r.meter.stop()
	if r.conn != nil {
		// Also ends a transaction that was not committed.
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = r.conn.Close(ctx)
	}
	r.source.close()
	if r.temp != "" {
		_ = os.RemoveAll(r.temp)
	}
}

// connect opens the connection and reads the catalog.
func (r *runner) connect(ctx context.Context) error {
	conn, err := postgres.Connect(ctx, r.dsn, application)
	if err != nil {
		return err
	}
	r.conn = conn
	if r.catalog, err = postgres.Inspect(ctx, conn); err == nil {
		r.out.Data["postgres_version"] = r.catalog.Server.Release()
	}
	return r.explain(err)
}

// stopwatch collects how long each part took.
type stopwatch struct {
	last  time.Time
	parts map[string]float64
}

// lap books the time since the last call under a name.
func (s *stopwatch) lap(name string) {
	now := time.Now()
	if s.parts == nil {
		s.parts = map[string]float64{}
	}
	if !s.last.IsZero() && name != "" {
		s.parts[name] += float64(now.Sub(s.last).Milliseconds()) / 1000
	}
	s.last = now
}
