package database

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/warm"
)

// The record is one document, so that another release of this tool can have other
// fields in it.
const createWarmth = `DROP TABLE IF EXISTS %[1]s;
	CREATE TABLE %[1]s (source_id text PRIMARY KEY, state text NOT NULL, record jsonb NOT NULL);
	INSERT INTO %[1]s VALUES (%[2]s, %[3]s, %[4]s)`

// States of a warm load. None of them is a load that a cluster may start on.
const (
	stateWarm    = "warm"
	stateGivenUp = "given up" // by a rollback
)

// warmth is what was loaded while the server ran.
type warmth struct {
	Source   string              `json:"-"` // names its snapshot in the state folder
	State    string              `json:"-"`
	Home     string              `json:"home"`
	Host     string              `json:"host"`
	Database string              `json:"database"` // of PostgreSQL: see warm.Database
	Started  time.Time           `json:"started"`
	Xid      warm.Xid            `json:"xid"`
	Tables   map[string]warmMark `json:"tables"`
	Files    map[string]stamp    `json:"files"` // the snapshot's, by path below it
	Warnings []string            `json:"warnings"`
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
	rows, err = postgres.Rows(ctx, r.conn, "SELECT source_id, state, record FROM "+r.warmthName()+" LIMIT 1")
	if postgres.Code(err) == "42703" {
		r.warnings.add("rows were loaded before the stop by another release of this tool; they do not count")
		return nil, nil
	}
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	w := &warmth{Source: string(rows[0][0]), State: string(rows[0][1])}
	return w, json.Unmarshal(rows[0][2], w)
}

// write keeps w in the place of what was there.
func (w *warmth) write(ctx context.Context, r warmer) error {
	raw, err := json.Marshal(w)
	if err == nil {
		err = postgres.Run(ctx, r.conn, fmt.Sprintf(createWarmth,
			r.warmthName(), postgres.Literal(w.Source), postgres.Literal(w.State), postgres.Literal(string(raw))))
	}
	if err != nil {
		return fmt.Errorf("record what is loaded: %w", err)
	}
	return nil
}

// forgetWarmth drops the record: what it told of is loaded, or was replaced.
func (p *passage) forgetWarmth(ctx context.Context) error {
	return postgres.Run(ctx, p.conn, "DROP TABLE IF EXISTS "+(warmer{p.runner}).warmthName())
}

// removeWarm removes the snapshots of warm loads.
func (r warmer) removeWarm() error { return os.RemoveAll(r.state.Warm()) }

// findWarmth looks for what a warm load has left in the target.
func (r warmer) findWarmth(ctx context.Context) error {
	var err error
	if r.plan.database, err = warm.Database(ctx, r.conn); err != nil {
		return err
	}
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

// foreign says why the ids that rows carry here say nothing of w; "" if they do.
func (w *warmth) foreign(r *runner) string {
	switch {
	case w.Home != r.args.Home || w.Host != hostName():
		return fmt.Sprintf("it is of another server, %s on %s", w.Home, w.Host)
	case w.Database != r.plan.database:
		return "it is of another database than this one, which was restored or moved since"
	}
	return ""
}

// ownRows reports whether all that a table holds is what a warm load has left,
// which is replaced. If there is more, only that is looked at.
func (r warmer) ownRows(ctx context.Context, t *table) (bool, error) {
	w := r.plan.warm
	if w == nil || w.Home != r.args.Home || w.Host != hostName() {
		return false, nil
	}
	var count warm.Counts
	var err error
	if w.foreign(r.runner) == "" {
		if count, err = t.target().Count(ctx, r.conn, w.Xid, 0); err != nil {
			return false, err
		}
	}
	if count.Earlier > 0 && count.Others > 0 {
		t.but = "xmin <> " + w.Xid.SQL()
		return false, nil
	}
	if count.Earlier == 0 { // written anew with the same values, as by a dump that was restored
		mark := w.Tables[t.Name]
		if mark.Rows == 0 || t.conn == nil {
			return false, nil
		}
		want, err := mark.Sum()
		if err != nil {
			return false, err
		}
		if there, err := r.targetSum(ctx, t); err != nil || there != want {
			return false, err
		}
	}
	t.status = statusReplaced
	return true, nil
}

// giveUpWarm marks a warm load as given up.
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
	return nil
}

// rules are all that decides what becomes of a row of the table: helper, zone,
// paths, and both definitions. A column is known by its number: names change.
func (r warmer) rules(t *table) string {
	sum := sha256.New()
	fmt.Fprintln(sum, ansible.Build, r.args.PathSpelling, t.File, t.conn != nil)
	for day := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2040; day = day.AddDate(0, 0, 7) {
		_, offset := day.In(r.zone).Zone() // the host's zone has the same name always
		fmt.Fprint(sum, offset, " ")
	}
	for _, from := range slices.Sorted(maps.Keys(r.moves)) {
		fmt.Fprintf(sum, "%q %q\n", from, r.moves[from])
	}
	fmt.Fprintf(sum, "%q %q %q %v %v %q %s\n", t.from.Name, t.from.RowID, t.from.Key, t.from.Columns, t.key, t.to.Qualified(), t.to.OID)
	for _, c := range t.columns {
		to, _ := t.to.Column(c.Name)
		fmt.Fprintf(sum, "%q %q %v %v %d\n", c.Name, c.Source, c.Type, c.NotNull, to.Number)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}
