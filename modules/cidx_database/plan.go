package database

import (
	"fmt"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/convert"
	"cidx-cluster/modules/internal/digest"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/sqlite"
)

// plan is which rows go where.
type plan struct {
	tables   []*table // parents before children
	skipped  []skipped
	lacking  []lacking // what the source does not have; also in skipped
	warm     *warmth   // what the target holds of a warm load; nil if nothing
	database string    // which one of PostgreSQL's it is: see warm.Database
}

// skipped is a table that does not move.
type skipped struct {
	Table  string `json:"table"`
	File   string `json:"file,omitempty"`
	Reason string `json:"reason"`
}

// table is a table that moves.
type table struct {
	cidx.Table
	conn    *sqlite.Conn // nil if the source has no such table
	from    sqlite.Table
	to      *postgres.Table
	real    *postgres.Table // while a copy takes its place in a rehearsal
	columns []column
	key     []int // indexes into columns; empty if nothing identifies a row
	rows    int64 // estimate from the highest row id until the table is loaded
	large   bool  // worth rebuilding its indexes
	frozen  bool  // loaded with COPY FREEZE
	unfit   bool  // not to be loaded, not even in a rehearsal
	status  string
	seeded  int64      // rows of a first start that the target has
	guests  *guests    // rows of the target that stay beside ours
	but     string     // condition on rows of the target that are looked at; "" for all
	delta   *delta     // what has changed since the warm load; nil if the table is loaded as a whole
	sum     digest.Sum // of the rows that were sent
	tally   tally      // what was changed in them
	bad     []int64    // sorted ids of rows that are left out
}

// column is one column that moves.
type column struct {
	convert.Column
	Name     string // in PostgreSQL
	Source   string // in SQLite
	NotNull  bool
	Secret   bool
	Null     cidx.Fallback
	Path     cidx.PathRule
	Sequence string
}

// makePlan matches both schemas by name. What stays behind although it holds
// data is a problem, unless the operator accepts it.
func (r *runner) makePlan() error {
	p := &plan{}
	r.plan = p
	var problems problem.List
	known := map[string]bool{}
	for _, entry := range cidx.Catalogue {
		known[entry.Name] = true
		if !entry.Copied() {
			p.skipped = append(p.skipped, skipped{entry.Name, entry.File, entry.Skip})
			problems.Add(r.warnAbout(entry))
			continue
		}
		t, err := r.match(entry)
		problems.Add(err)
		if t != nil {
			p.tables = append(p.tables, t)
		}
	}
	problems.Add(r.lostTables())
	problems.Add(r.unknownTables(known))
	problems.Add(r.unknownFiles())
	problems.Add(p.order())
	return problems.Err()
}

// loading reports whether rows are to move.
func (a args) loading() bool { return a.Phase == phaseLoad || a.Phase == phaseWarm }

// accepted reports whether the operator lets something stay behind. After the
// load that is no longer the question.
func (r *runner) accepted(name string) bool {
	return !r.args.loading() || slices.Contains(r.args.Accept, name)
}

// match plans one table; nil means that there is nothing to move.
func (r *runner) match(entry cidx.Table) (*table, error) {
	t := &table{Table: entry, to: r.catalog.Tables[entry.Name]}
	for _, from := range r.source.tables[entry.File] {
		if strings.EqualFold(from.Name, entry.Name) {
			t.conn, t.from = r.source.files[entry.File], from
		}
	}
	if t.conn == nil {
		l := r.lacks(entry)
		r.plan.lacking = append(r.plan.lacking, l)
		r.plan.skipped = append(r.plan.skipped, skipped{entry.Name, entry.File, l.reason})
	}
	if t.to == nil {
		return nil, r.withoutTarget(t)
	}
	if t.conn == nil {
		return t, nil // an older release: nothing to load, but its sequence counts
	}
	if err := t.estimate(); err != nil {
		return nil, err
	}
	var problems problem.List
	for _, c := range t.from.Columns {
		problems.Add(r.matchColumn(t, c))
	}
	required := t.required()
	t.unfit = len(required) > 0
	problems = append(problems, required...)
	if len(t.columns) == 0 && len(problems) == 0 {
		t.conn = nil // else its values would be a problem
		r.plan.skipped = append(r.plan.skipped, skipped{t.Name, t.File, "PostgreSQL has none of its columns; it is empty"})
	}
	t.findKey()
	return t, problems.Err()
}

func (r *runner) withoutTarget(t *table) error {
	if t.conn == nil {
		return nil
	}
	n, err := t.count()
	switch {
	case err != nil:
		return err
	case n == 0 || r.accepted(t.Name):
		reason := "the cluster's schema has no such table; it is empty"
		if n > 0 {
			reason = fmt.Sprintf("the cluster's schema has no such table; %d rows stay behind as accepted", n)
		}
		r.plan.skipped = append(r.plan.skipped, skipped{t.Name, t.File, reason})
		return nil
	}
	return problem.Problem{What: fmt.Sprintf("table is missing in PostgreSQL; %d rows would be lost", n), At: t.at(), Fix: "bring CIDX's schema up to date with its migration runner, or add " + t.Name + " to cidx_database_accept"}
}

// matchColumn plans one column of the source.
func (r *runner) matchColumn(t *table, c sqlite.Column) error {
	name := c.Name
	if renamed, ok := t.Renames[name]; ok {
		name = renamed
	}
	target, ok := t.to.Column(name)
	if !ok {
		target, ok = t.to.Column(strings.ToLower(name))
	}
	if !ok || target.Type.Kind == convert.Unsupported {
		return r.withoutColumn(t, c, ok)
	}
	planned := column{
		Column: convert.Column{Type: target.Type, Parsed: true, Epoch: slices.Contains(t.Epoch, c.Name), UTC: slices.Contains(t.UTC, c.Name)},
		Name:   target.Name, Source: c.Name, NotNull: target.NotNull, Sequence: target.Sequence,
		Secret: slices.Contains(t.Secrets, target.Name), Null: t.Null[target.Name], Path: t.Paths[c.Name],
	}
	if slices.Contains(t.Local, c.Name) {
		planned.Zone = r.zone
	}
	t.columns = append(t.columns, planned)
	return nil
}

func (r *runner) withoutColumn(t *table, c sqlite.Column, unsupported bool) error {
	n, err := t.number("SELECT count(*) FROM " + sqlite.Quote(t.from.Name) + " WHERE " + sqlite.Quote(c.Name) + " IS NOT NULL")
	at := t.Name + "." + c.Name
	switch {
	case err != nil:
		return err
	case n == 0:
		return nil
	case r.accepted(at):
		r.warnings.add("%s stays behind in %s, as accepted", at, human.Count(n, "row", "rows"))
		return nil
	}
	what := fmt.Sprintf("PostgreSQL has no such column; %d values would be lost", n)
	if unsupported {
		what = fmt.Sprintf("PostgreSQL's column has a type that is not supported; %d values would be lost", n)
	}
	return problem.Problem{What: what, At: t.at() + "." + c.Name, Fix: "bring CIDX's schema up to date with its migration runner, or add " + at + " to cidx_database_accept"}
}

// required finds columns that PostgreSQL insists on and the source lacks.
func (t *table) required() problem.List {
	var problems problem.List
	for _, c := range t.to.Columns {
		has := slices.ContainsFunc(t.columns, func(p column) bool { return p.Name == c.Name })
		if !has && c.NotNull && !c.Default && t.rows > 0 {
			problems = append(problems, problem.Problem{What: "PostgreSQL requires column " + c.Name + ", which the source does not have", At: t.at(), Fix: "start the standalone server of the release that the cluster runs once, so that it upgrades its databases"})
		}
	}
	return problems
}

// findKey chooses what identifies a row: the primary key, else a unique index
// over columns that are never NULL.
func (t *table) findKey() {
	candidates := [][]string{t.to.Key}
	for _, u := range t.to.Uniques {
		if u.Where == "" {
			candidates = append(candidates, u.Columns)
		}
	}
	for _, names := range candidates {
		var key []int
		for _, name := range names {
			i := slices.IndexFunc(t.columns, func(c column) bool { return c.Name == name && c.NotNull })
			if i < 0 {
				key = nil
				break
			}
			key = append(key, i)
		}
		if len(key) > 0 {
			t.key = key
			return
		}
	}
}

// at names the table's place in the source.
func (t *table) at() string { return t.File + ": " + t.Name }

func (t *table) number(sql string) (int64, error) {
	rows, err := t.conn.Query(sql)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	if rows.Next() {
		return rows.Int(0), nil
	}
	return 0, rows.Err()
}

func (t *table) count() (int64, error) {
	return t.number("SELECT count(*) FROM " + sqlite.Quote(t.from.Name))
}

// largeTable is from how many rows on rebuilding indexes pays: a load of 10^5
// rows was a quarter shorter with it for the two tables of 10,000 rows, and
// longer with it for those of 1,000.
const largeTable = 5000

// estimate guesses the number of rows from the highest row id, and counts where
// that may matter.
func (t *table) estimate() error {
	var err error
	if t.from.RowID != "" {
		t.rows, err = t.number("SELECT coalesce(max(" + t.from.RowID + "), 0) FROM " + sqlite.Quote(t.from.Name))
		if err != nil || t.rows >= 0 && t.rows < largeTable {
			return err
		}
	}
	t.rows, err = t.count()
	t.large = t.rows >= largeTable
	return err
}
