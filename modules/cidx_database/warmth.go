package database

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
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

// readWarmth finds what an earlier run has loaded while the server ran.
func readWarmth(ctx context.Context, s *session, n *notes) (*warmth, error) {
	rows, err := postgres.Rows(ctx, s.conn, "SELECT to_regclass($1) IS NOT NULL", s.table(cidx.WarmMarker))
	if err != nil || string(rows[0][0]) != "t" {
		return nil, err
	}
	rows, err = postgres.Rows(ctx, s.conn, "SELECT source_id, state, record FROM "+s.table(cidx.WarmMarker)+" LIMIT 1")
	if postgres.Code(err) == "42703" {
		n.warnings.add("rows were loaded before the stop by another release of this tool; they do not count")
		return nil, nil
	}
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	w := &warmth{Source: string(rows[0][0]), State: string(rows[0][1])}
	return w, json.Unmarshal(rows[0][2], w)
}

// write keeps w in the place of what was there.
func (w *warmth) write(ctx context.Context, s *session) error {
	raw, err := json.Marshal(w)
	if err == nil {
		err = postgres.Run(ctx, s.conn, fmt.Sprintf(createWarmth,
			s.table(cidx.WarmMarker), postgres.Literal(w.Source), postgres.Literal(w.State), postgres.Literal(string(raw))))
	}
	if err != nil {
		return fmt.Errorf("record what is loaded: %w", err)
	}
	return nil
}

// forgetWarmth drops the record: what it told of is loaded, or was replaced.
func (p *passage) forgetWarmth(ctx context.Context) error {
	return postgres.Run(ctx, p.conn, "DROP TABLE IF EXISTS "+p.table(cidx.WarmMarker))
}

// findWarmth looks for what a warm load has left in the target.
func findWarmth(ctx context.Context, s *session, n *notes) (w *warmth, database string, err error) {
	if database, err = warm.Database(ctx, s.conn); err != nil {
		return nil, "", err
	}
	if w, err = readWarmth(ctx, s, n); err != nil || w == nil {
		return nil, database, err
	}
	now, err := postgres.Number(ctx, s.conn, "SELECT txid_snapshot_xmax(txid_current_snapshot())")
	if err != nil || !w.Xid.Known(warm.Xid(now)) {
		w = nil
	}
	return w, database, err
}

// of reports whether w is a warm load of this server.
func (w *warmth) of(set *settings) bool { return w.Home == set.args.Home && w.Host == hostName() }

// foreign says why the ids that rows carry in a database say nothing of w; "" if
// they do.
func (w *warmth) foreign(set *settings, database string) string {
	switch {
	case !w.of(set):
		return fmt.Sprintf("it is of another server, %s on %s", w.Home, w.Host)
	case w.Database != database:
		return "it is of another database than this one, which was restored or moved since"
	}
	return ""
}

// ownRows reports whether all that a table holds is what a warm load has left,
// which is replaced. If there is more, only that is looked at.
func (x *inspection) ownRows(ctx context.Context) (bool, error) {
	w, t := x.held.warm, x.t
	if w == nil || !w.of(x.settings) {
		return false, nil
	}
	var count warm.Counts
	var err error
	if w.foreign(x.settings, x.held.database) == "" {
		if count, err = t.target().Count(ctx, x.conn, w.Xid, 0); err != nil {
			return false, err
		}
	}
	if count.Earlier > 0 && count.Others > 0 {
		t.but = "xmin <> " + w.Xid.SQL()
		return false, nil
	}
	if count.Earlier == 0 { // written anew with the same values, as by a dump that was restored
		mark := w.Tables[t.Name]
		if mark.Rows == 0 || t.Conn == nil {
			return false, nil
		}
		want, err := mark.Sum()
		if err != nil {
			return false, err
		}
		if there, err := t.targetSum(ctx, x.conn, x.meter); err != nil || there != want {
			return false, err
		}
	}
	t.status = statusReplaced
	return true, nil
}

// giveUpWarm marks a warm load of this server as given up, if there is one.
func giveUpWarm(ctx context.Context, s *session, n *notes) (found bool, err error) {
	w, err := readWarmth(ctx, s, n)
	if err != nil || w == nil || w.State != stateWarm || !w.of(s.set) {
		return false, err
	}
	if _, err := postgres.Rows(ctx, s.conn, "UPDATE "+s.table(cidx.WarmMarker)+" SET state = $1", stateGivenUp); err != nil {
		return false, fmt.Errorf("mark the warm load as given up: %w", err)
	}
	progress.Line(ctx, "  The warm load is given up; the next migration replaces it")
	return true, nil
}

// rules are all that decides what becomes of a row of the table: helper, zone,
// paths, and both definitions. A column is known by its number: names change.
func (t *table) rules(set *settings) string {
	sum := sha256.New()
	fmt.Fprintln(sum, ansible.Build, set.args.PathSpelling, t.File, t.Conn != nil)
	for day := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2040; day = day.AddDate(0, 0, 7) {
		_, offset := day.In(set.zone).Zone() // the host's zone has the same name always
		fmt.Fprint(sum, offset, " ")
	}
	for _, from := range slices.Sorted(maps.Keys(set.moves)) {
		fmt.Fprintf(sum, "%q %q\n", from, set.moves[from])
	}
	fmt.Fprintf(sum, "%q %q %q %v %v %q %s\n", t.From.Name, t.From.RowID, t.From.Key, t.From.Columns, t.Key,
		t.To.Qualified(), t.To.OID)
	for _, c := range t.Columns {
		to, _ := t.To.Column(c.Name)
		fmt.Fprintf(sum, "%q %q %v %v %d\n", c.Name, c.Source, c.Type, c.NotNull, to.Number)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// openWarm takes the copies that a warm load is made from. They stay in the state
// folder, so that what changes later can be told from them.
func openWarm(ctx context.Context, set *settings) (*source, error) {
	if err := os.RemoveAll(set.state.Warm()); err != nil {
		return nil, fmt.Errorf("remove the copies of an earlier warm load: %w", err)
	}
	name := make([]byte, 8)
	if _, err := rand.Read(name); err != nil {
		return nil, err
	}
	dir := set.state.Warm(hex.EncodeToString(name))
	if err := durable.MakeFolder(dir); err != nil {
		return nil, err
	}
	s, err := copyInto(ctx, set, &source{dir: dir})
	problems := problem.Of(err)
	for i := range problems {
		if strings.HasPrefix(problems[i].At, dir) {
			problems[i].Fix = "free space in the server's state folder (cidx_state_dir)"
		}
	}
	return s, problems.Err()
}

// stampFiles stamps every file below a folder. They are on the disk then, so that
// they survive whatever a record of the stamps does.
func stampFiles(dir string) (map[string]stamp, error) {
	stamps := map[string]stamp{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return durable.SyncFolder(path)
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		if s := stampOf(path); s != (stamp{}) {
			stamps[strings.TrimPrefix(path, dir)] = s
		}
		return errors.Join(f.Sync(), f.Close())
	})
	return stamps, err
}
