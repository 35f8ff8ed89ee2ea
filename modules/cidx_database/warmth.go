package database

import (
	"cidx-cluster/modules/internal/progress"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/warm"
)

const createWarmth = `CREATE TABLE IF NOT EXISTS %s (source_id text PRIMARY KEY, state text NOT NULL, home text NOT NULL,
	host text NOT NULL,
	started_at timestamptz NOT NULL,
	committed_at timestamptz NOT NULL, xid bigint NOT NULL, tables jsonb NOT NULL, files jsonb NOT NULL, warnings jsonb NOT NULL)`

// States of a warm load. None of them is a load that a cluster may start on.
const (
	stateWarm    = "warm"
	stateGivenUp = "given up" // by a rollback
)

// warmth is what was loaded while the server ran.
type warmth struct {
	Source   string // names its snapshot in the state folder
	State    string
	Home     string
	Host     string
	Started  time.Time
	Xid      warm.Xid
	Tables   map[string]warmMark
	Files    map[string]fileStamp // the snapshot's, by path below it
	Warnings []string
}

// warmMark is what was loaded of a table.
type warmMark struct {
	tableMark
	Rules string `json:"rules"`           // by which its rows were converted
	Cold  string `json:"cold,omitempty"`  // why nothing was loaded, and all of it is after the stop
	Above int64  `json:"above,omitempty"` // rows with higher ids are guests
	Jobs  int64  `json:"jobs,omitempty"`
	Paths int64  `json:"paths,omitempty"`
	Nulls int64  `json:"nulls,omitempty"`
	Dated bool   `json:"dated,omitempty"` // rows carry the moment of the load
}

// fileStamp changes whenever a file does.
type fileStamp struct {
	Size    int64  `json:"size"`
	Time    int64  `json:"mtime"`
	Changed int64  `json:"ctime"`
	Inode   uint64 `json:"inode"`
}

// warmer is what a run does about a warm load: its own, or an earlier one's.
type warmer struct{ *runner }

func (r warmer) warmthName() string {
	return postgres.Quote(r.catalog.Server.Schema) + "." + postgres.Quote(cidx.WarmMarker)
}

// readWarmth finds what an earlier run has loaded while the server ran.
func (r warmer) readWarmth(ctx context.Context) (*warmth, error) {
	rows, err := postgres.Rows(ctx, r.conn, "SELECT to_regclass($1) IS NOT NULL", r.warmthName())
	if err != nil || string(rows[0][0]) != "t" {
		return nil, err
	}
	rows, err = postgres.Rows(ctx, r.conn, `SELECT source_id, state, home, host, (extract(epoch FROM started_at) * 1000000)::bigint, xid,
		tables, files, warnings FROM `+r.warmthName()+` ORDER BY committed_at DESC LIMIT 1`)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	f := rows[0]
	w := &warmth{Source: string(f[0]), State: string(f[1]), Home: string(f[2]), Host: string(f[3])}
	micros, err := strconv.ParseInt(string(f[4]), 10, 64)
	if err != nil {
		return nil, err
	}
	xid, err := strconv.ParseInt(string(f[5]), 10, 64)
	if err != nil {
		return nil, err
	}
	w.Started, w.Xid = time.UnixMicro(micros).UTC(), warm.Xid(xid)
	for i, into := range []any{&w.Tables, &w.Files, &w.Warnings} {
		if err := json.Unmarshal(f[6+i], into); err != nil {
			return nil, fmt.Errorf("read what was loaded while the server ran: %w", err)
		}
	}
	return w, nil
}

// write keeps w in the place of what was there.
func (w *warmth) write(ctx context.Context, r warmer) error {
	values := []string{w.Source, w.State, w.Home, w.Host, stampText(w.Started), strconv.FormatInt(int64(w.Xid), 10)}
	for _, part := range []any{w.Tables, w.Files, w.Warnings} {
		raw, err := json.Marshal(part)
		if err != nil {
			return fmt.Errorf("record what is loaded: %w", err)
		}
		values = append(values, string(raw))
	}
	if err := postgres.Run(ctx, r.conn, fmt.Sprintf(createWarmth, r.warmthName())+"; DELETE FROM "+r.warmthName()); err != nil {
		return fmt.Errorf("record what is loaded: %w", err)
	}
	_, err := postgres.Rows(ctx, r.conn, "INSERT INTO "+r.warmthName()+
		" VALUES ($1, $2, $3, $4, $5, clock_timestamp(), $6, $7, $8, $9)", values...)
	if err != nil {
		return fmt.Errorf("record what is loaded: %w", err)
	}
	return nil
}

// forgetWarmth drops the record: what it told of is loaded, or was replaced.
func (p *passage) forgetWarmth(ctx context.Context) error {
	return postgres.Run(ctx, p.conn, "DROP TABLE IF EXISTS "+(warmer{p.runner}).warmthName())
}

// removeWarm removes the snapshots of warm loads but one.
func (r warmer) removeWarm(but string) error {
	entries, err := os.ReadDir(r.state.Warm())
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, e := range entries {
		if e.Name() != but {
			if err := os.RemoveAll(r.state.Warm(e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// findWarmth looks for what a warm load has left in the target.
func (r warmer) findWarmth(ctx context.Context) error {
	w, err := r.readWarmth(ctx)
	if err != nil || w == nil {
		return err
	}
	rows, err := postgres.Rows(ctx, r.conn, "SELECT txid_snapshot_xmax(txid_current_snapshot())")
	if err != nil {
		return err
	}
	var now warm.Xid
	if _, err := fmt.Sscan(string(rows[0][0]), &now); err == nil && w.Xid.Known(now) {
		r.plan.warm = w
	}
	return nil
}

// ownRows reports whether all that a table holds is what a warm load has left,
// which is replaced. If there is more, only that is looked at.
func (r warmer) ownRows(ctx context.Context, t *table) (bool, error) {
	w := r.plan.warm
	if w == nil || w.Home != r.args.Home || w.Host != hostName() {
		return false, nil
	}
	count, err := t.target().Count(ctx, r.conn, w.Xid, 0)
	if err != nil || count.Earlier == 0 {
		return false, err
	}
	if count.Others == 0 {
		t.status = statusReplaced
		return true, nil
	}
	t.but = "xmin <> " + w.Xid.SQL()
	return false, nil
}

// giveUpWarm marks a warm load as given up; its snapshot goes.
func (r warmer) giveUpWarm(ctx context.Context) error {
	if r.mode.Check {
		return nil
	}
	w, err := r.readWarmth(ctx)
	if err != nil || w == nil || w.State != stateWarm || w.Home != r.args.Home || w.Host != hostName() {
		return err
	}
	if _, err := postgres.Rows(ctx, r.conn, "UPDATE "+r.warmthName()+" SET state = $1", stateGivenUp); err != nil {
		return fmt.Errorf("mark the warm load as given up: %w", err)
	}
	progress.Line(ctx, "  The warm load is given up; the next migration replaces it")
	r.out.Changed = true
	return r.removeWarm("")
}

// rules are all that decides what becomes of a row of the table: helper, zone,
// paths, and both definitions.
func (r warmer) rules(t *table) string {
	sum := sha256.New()
	fmt.Fprintln(sum, ansible.Build, r.zone, r.args.PathSpelling, t.File, t.conn != nil)
	for _, from := range slices.Sorted(maps.Keys(r.moves)) {
		fmt.Fprintf(sum, "%q %q\n", from, r.moves[from])
	}
	fmt.Fprintf(sum, "%q %q %q %v %v %q\n", t.from.Name, t.from.RowID, t.from.Key, t.from.Columns, t.key, t.to.Qualified())
	for _, c := range t.columns {
		fmt.Fprintf(sum, "%q %q %v %v\n", c.Name, c.Source, c.Type, c.NotNull)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}
