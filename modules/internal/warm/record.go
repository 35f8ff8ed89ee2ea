package warm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"cidx-cluster/modules/internal/copies"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/progress"
)

// Terms are whose rows are loaded, where that is recorded, and by which rules rows
// are converted.
type Terms struct {
	Home, Host string
	Table      string // of the record, in PostgreSQL
	Rules      string // all that decides what becomes of a row but its table
}

// The record is one document, so that another release of this tool can have other
// fields in it.
const createRecord = `DROP TABLE IF EXISTS %[1]s;
	CREATE TABLE %[1]s (source_id text PRIMARY KEY, state text NOT NULL, record jsonb NOT NULL);
	INSERT INTO %[1]s VALUES (%[2]s, %[3]s, %[4]s)`

// States of a warm load. None of them is a load that a cluster may start on.
const (
	stateWarm    = "warm"
	stateGivenUp = "given up" // by a rollback
)

// Record is what was loaded while the server ran.
type Record struct {
	Source   string                  `json:"-"` // names its copies of the databases
	State    string                  `json:"-"`
	Home     string                  `json:"home"`
	Host     string                  `json:"host"`
	Database string                  `json:"database"` // of PostgreSQL: see Database
	Started  time.Time               `json:"started"`
	Xid      Xid                     `json:"xid"`
	Tables   map[string]Mark         `json:"tables"`
	Files    map[string]copies.Stamp `json:"files"` // the copies, by path below their folder
	Warnings []string                `json:"warnings"`
}

// Mark is what was loaded of a table.
type Mark struct {
	load.Mark
	load.Tally
	Rules string `json:"rules"`           // by which its rows were converted
	Cold  string `json:"cold,omitempty"`  // why nothing was loaded, and all of it is after the stop
	Above int64  `json:"above,omitempty"` // rows with higher ids are guests
}

// read finds what an earlier run has loaded while the server ran.
func (t Terms) read(ctx context.Context, s *load.Session, n *load.Notes) (*Record, error) {
	if s.Catalog.Tables[t.Table] == nil {
		return nil, nil
	}
	rows, err := postgres.Rows(ctx, s.Conn, "SELECT source_id, state, record FROM "+s.Table(t.Table)+" LIMIT 1")
	if postgres.Code(err) == "42703" {
		n.Warnings.Add("rows were loaded before the stop by another release of this tool; they do not count")
		return nil, nil
	}
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	r := &Record{Source: string(rows[0][0]), State: string(rows[0][1])}
	return r, json.Unmarshal(rows[0][2], r)
}

// write keeps r in the place of what was there.
func (t Terms) write(ctx context.Context, s *load.Session, r *Record) error {
	raw, err := json.Marshal(r)
	if err == nil {
		err = postgres.Run(ctx, s.Conn, fmt.Sprintf(createRecord,
			s.Table(t.Table), postgres.Literal(r.Source), postgres.Literal(r.State), postgres.Literal(string(raw))))
	}
	if err != nil {
		return fmt.Errorf("record what is loaded: %w", err)
	}
	return nil
}

// Forget drops the record: what it told of is loaded, or was replaced.
func (t Terms) Forget(p *load.Passage, ctx context.Context) error {
	return postgres.Run(ctx, p.Conn, "DROP TABLE IF EXISTS "+p.Table(t.Table))
}

// Found is what a warm load has left in the target.
type Found struct {
	Terms
	*Record         // nil if nothing
	database string // which one of PostgreSQL's it is: see Database
}

// Find looks for it.
func (t Terms) Find(ctx context.Context, s *load.Session, n *load.Notes) (f Found, err error) {
	f.Terms = t
	if f.database, err = Database(ctx, s.Conn); err != nil {
		return f, err
	}
	if f.Record, err = t.read(ctx, s, n); err != nil || f.Record == nil {
		return f, err
	}
	now, err := postgres.Number(ctx, s.Conn, "SELECT txid_snapshot_xmax(txid_current_snapshot())")
	if err != nil || !f.Xid.Known(Xid(now)) {
		f.Record = nil
	}
	return f, err
}

// ours reports whether r is a warm load of this server.
func (t Terms) ours(r *Record) bool { return r.Home == t.Home && r.Host == t.Host }

// foreign says why the ids that rows carry in the database say nothing of the
// record; "" if they do.
func (f Found) foreign() string {
	switch {
	case !f.ours(f.Record):
		return fmt.Sprintf("it is of another server, %s on %s", f.Record.Home, f.Record.Host)
	case f.Record.Database != f.database:
		return "it is of another database than this one, which was restored or moved since"
	}
	return ""
}

// Own reports whether all that a table holds is what a warm load has left, which
// is replaced. If there is more, others is the condition on that.
func (f Found) Own(ctx context.Context, w *load.Work, t *load.Transfer) (own bool, others string, err error) {
	if f.Record == nil || !f.ours(f.Record) {
		return false, "", nil
	}
	var count counts
	if f.foreign() == "" {
		if count, err = targetOf(t).count(ctx, w.Conn, f.Xid, 0); err != nil {
			return false, "", err
		}
	}
	if count.Earlier > 0 {
		if count.Others > 0 {
			others = "xmin <> " + f.Xid.SQL()
		}
		return count.Others == 0, others, nil
	}
	// Written anew with the same values, as by a dump that was restored.
	mark := f.Tables[t.Name]
	if mark.Rows == 0 || t.Conn == nil {
		return false, "", nil
	}
	want, err := mark.Sum()
	if err != nil {
		return false, "", err
	}
	there, err := t.TargetSum(ctx, w.Conn, w.Meter)
	return err == nil && there == want, "", err
}

// GiveUp marks a warm load of this server as given up, if there is one.
func (t Terms) GiveUp(ctx context.Context, s *load.Session, n *load.Notes) (found bool, err error) {
	r, err := t.read(ctx, s, n)
	if err != nil || r == nil || r.State != stateWarm || !t.ours(r) {
		return false, err
	}
	if _, err := postgres.Rows(ctx, s.Conn, "UPDATE "+s.Table(t.Table)+" SET state = $1", stateGivenUp); err != nil {
		return false, fmt.Errorf("mark the warm load as given up: %w", err)
	}
	progress.Line(ctx, "  The warm load is given up; the next migration replaces it")
	return true, nil
}

// rules are all that decides what becomes of a row of the table. A column is known
// by its number: names change.
func (t Terms) rules(of *load.Table) string {
	sum := sha256.New()
	fmt.Fprintln(sum, t.Rules, of.File, of.Conn != nil)
	fmt.Fprintf(sum, "%q %q %q %v %v %q %s\n", of.From.Name, of.From.RowID, of.From.Key, of.From.Columns, of.Key,
		of.To.Qualified(), of.To.OID)
	for _, c := range of.Columns {
		to, _ := of.To.Column(c.Name)
		fmt.Fprintf(sum, "%q %q %v %v %d\n", c.Name, c.Source, c.Type, c.NotNull, to.Number)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// targetOf spells a table for SQL.
func targetOf(t *load.Transfer) target {
	to := target{Table: t.To.Qualified()}
	for _, c := range t.Columns {
		to.Columns = append(to.Columns, postgres.Quote(c.Name))
	}
	for _, k := range t.Key {
		to.Key = append(to.Key, postgres.Quote(t.Columns[k].Name))
	}
	if condition, ok := strings.CutPrefix(t.Ours(), " WHERE "); ok && t.Guests != nil {
		to.Where = "t." + condition
	}
	return to
}
