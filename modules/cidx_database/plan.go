package database

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/convert"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/sqlite"
)

// plan is which rows go where. It never changes once it is made.
type plan struct {
	tables  []*table // parents before children
	skipped []skipped
	lacking []lacking // what the source does not have; also in skipped
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
	columns []column
	key     []int             // indexes into columns; empty if nothing identifies a row
	guess   int64             // how many rows it may have, from the highest row id
	large   bool              // worth rebuilding its indexes
	unfit   bool              // not to be loaded, not even in a rehearsal
	moves   map[string]string // path prefixes, old to new
	moment  time.Time         // that rows carry where the load is what they tell of
	moved   int64             // paths that were rewritten before
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

// planner matches both schemas by name.
type planner struct {
	work
	moment time.Time
	plan   *plan
}

// makePlan plans a load of that moment. What stays behind although it holds data
// is a problem, unless the operator accepts it.
func makePlan(w work, moment time.Time) (*plan, error) {
	p := planner{w, moment, &plan{}}
	var problems problem.List
	known := map[string]bool{}
	for _, entry := range cidx.Catalogue {
		known[entry.Name] = true
		if !entry.Copied() {
			p.skip(entry.Name, entry.File, entry.Skip)
			problems.Add(p.warnAbout(entry))
			continue
		}
		t, err := p.match(entry)
		problems.Add(err)
		if t != nil {
			p.plan.tables = append(p.plan.tables, t)
		}
	}
	problems.Add(p.lostTables())
	problems.Add(p.unknownTables(known))
	problems.Add(p.unknownFiles())
	problems.Add(p.plan.order())
	return p.plan, problems.Err()
}

// loading reports whether rows are to move.
func (a args) loading() bool { return a.Phase == phaseLoad || a.Phase == phaseWarm }

// accepted reports whether the operator lets something stay behind. After the
// load that is no longer the question.
func (s *settings) accepted(name string) bool {
	return !s.args.loading() || slices.Contains(s.args.Accept, name)
}

func (p planner) skip(table, file, reason string) {
	p.plan.skipped = append(p.plan.skipped, skipped{table, file, reason})
}

// match plans one table; nil means that there is nothing to move.
func (p planner) match(entry cidx.Table) (*table, error) {
	t := &table{Table: entry, to: p.catalog.Tables[entry.Name], moves: p.moves, moment: p.moment}
	for _, from := range p.source.tables[entry.File] {
		if strings.EqualFold(from.Name, entry.Name) {
			t.conn, t.from = p.source.files[entry.File], from
		}
	}
	if t.File == cidx.Activated {
		t.moved = p.source.moved
	}
	if t.conn == nil {
		l := p.lacks(entry)
		p.plan.lacking = append(p.plan.lacking, l)
		p.skip(entry.Name, entry.File, l.reason)
	}
	switch {
	case t.to == nil && t.conn == nil:
		return nil, nil
	case t.to == nil:
		return nil, p.leaveBehind(t, "the cluster's schema has no such table", "table is missing in PostgreSQL",
			"bring CIDX's schema up to date with its migration runner, or add "+t.Name+" to cidx_database_accept")
	case t.conn == nil:
		return t, nil // an older release: nothing to load, but its sequence counts
	}
	if err := t.estimate(); err != nil {
		return nil, err
	}
	var problems problem.List
	for _, c := range t.from.Columns {
		problems.Add(p.matchColumn(t, c))
	}
	required := t.required()
	t.unfit = len(required) > 0
	problems = append(problems, required...)
	if len(t.columns) == 0 && len(problems) == 0 {
		t.conn = nil // else its values would be a problem
		p.skip(t.Name, t.File, "PostgreSQL has none of its columns; it is empty")
	}
	t.findKey()
	return t, problems.Err()
}

// leaveBehind is a problem if there are rows in a table that does not move, unless
// the operator accepts it. why is the reason for the reply.
func (p planner) leaveBehind(t *table, why, what, fix string) error {
	n, err := t.count()
	switch {
	case err != nil:
		return err
	case n == 0:
		p.skip(t.Name, t.File, why+"; it is empty")
	case p.accepted(t.Name):
		p.skip(t.Name, t.File, fmt.Sprintf("%s; %d rows stay behind as accepted", why, n))
	default:
		return problem.Problem{What: fmt.Sprintf("%s; %d rows would be lost", what, n), At: t.at(), Fix: fix}
	}
	return nil
}

// matchColumn plans one column of the source.
func (p planner) matchColumn(t *table, c sqlite.Column) error {
	name := c.Name
	if renamed, ok := t.Renames[name]; ok {
		name = renamed
	}
	target, ok := t.to.Column(name)
	if !ok {
		target, ok = t.to.Column(strings.ToLower(name))
	}
	if !ok || target.Type.Kind == convert.Unsupported {
		return p.withoutColumn(t, c, ok)
	}
	planned := column{
		Column: convert.Column{Type: target.Type, Parsed: true,
			Epoch: slices.Contains(t.Epoch, c.Name), UTC: slices.Contains(t.UTC, c.Name)},
		Name: target.Name, Source: c.Name, NotNull: target.NotNull, Sequence: target.Sequence,
		Secret: slices.Contains(t.Secrets, target.Name), Null: t.Null[target.Name], Path: t.Paths[c.Name],
	}
	if slices.Contains(t.Local, c.Name) {
		planned.Zone = p.zone
	}
	t.columns = append(t.columns, planned)
	return nil
}

func (p planner) withoutColumn(t *table, c sqlite.Column, unsupported bool) error {
	n, err := t.number("SELECT count(*) FROM " + sqlite.Quote(t.from.Name) + " WHERE " + sqlite.Quote(c.Name) + " IS NOT NULL")
	at := t.Name + "." + c.Name
	switch {
	case err != nil:
		return err
	case n == 0:
		return nil
	case p.accepted(at):
		p.warnings.add("%s stays behind in %s, as accepted", at, human.Count(n, "row", "rows"))
		return nil
	}
	what := fmt.Sprintf("PostgreSQL has no such column; %d values would be lost", n)
	if unsupported {
		what = fmt.Sprintf("PostgreSQL's column has a type that is not supported; %d values would be lost", n)
	}
	return problem.Problem{What: what, At: t.at() + "." + c.Name,
		Fix: "bring CIDX's schema up to date with its migration runner, or add " + at + " to cidx_database_accept"}
}

// required finds columns that PostgreSQL insists on and the source lacks.
func (t *table) required() problem.List {
	var problems problem.List
	for _, c := range t.to.Columns {
		if t.column(c.Name) < 0 && c.NotNull && !c.Default && t.guess > 0 {
			problems = append(problems, problem.Problem{What: "PostgreSQL requires column " + c.Name + ", which the source does not have", At: t.at(),
				Fix: "start the standalone server of the release that the cluster runs once, so that it upgrades its databases"})
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
		t.guess, err = t.number("SELECT coalesce(max(" + t.from.RowID + "), 0) FROM " + sqlite.Quote(t.from.Name))
		if err != nil || t.guess >= 0 && t.guess < largeTable {
			return err
		}
	}
	t.guess, err = t.count()
	t.large = t.guess >= largeTable
	return err
}
