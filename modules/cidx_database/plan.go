package database

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/convert"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/repath"
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
	load.Table
	catalogued
	guess int64 // how many rows it may have, from the highest row id
	large bool  // worth rebuilding its indexes
	unfit bool  // not to be loaded, not even in a rehearsal
}

// catalogued is what the catalogue says of a table. Name, File and Active of table
// are those of load.Table, which are nearer.
type catalogued struct{ cidx.Table }

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
	t := &table{Table: load.Table{Name: entry.Name, File: entry.File}, catalogued: catalogued{entry}}
	for _, from := range p.source.tables[entry.File] {
		if strings.EqualFold(from.Name, entry.Name) {
			t = p.source.table(entry, from)
		}
	}
	t.To, t.Active, t.Moment = p.catalog.Tables[entry.Name], (*load.Active)(entry.Active), p.moment
	if t.File == cidx.Activated {
		t.Moved = p.source.moved
	}
	if t.Conn == nil {
		l := p.lacks(entry)
		p.plan.lacking = append(p.plan.lacking, l)
		p.skip(entry.Name, entry.File, l.reason)
	}
	switch {
	case t.To == nil && t.Conn == nil:
		return nil, nil
	case t.To == nil:
		return nil, p.leaveBehind(t, "the cluster's schema has no such table", "table is missing in PostgreSQL",
			"bring CIDX's schema up to date with its migration runner, or add "+t.Name+" to cidx_database_accept")
	case t.Conn == nil:
		return t, nil // an older release: nothing to load, but its sequence counts
	}
	if err := t.estimate(); err != nil {
		return nil, err
	}
	var problems problem.List
	for _, c := range t.From.Columns {
		problems.Add(p.matchColumn(t, c))
	}
	required := t.required()
	t.unfit = len(required) > 0
	problems = append(problems, required...)
	if len(t.Columns) == 0 && len(problems) == 0 {
		t.Conn = nil // else its values would be a problem
		p.skip(t.Name, t.File, "PostgreSQL has none of its columns; it is empty")
	}
	t.FindKey()
	return t, problems.Err()
}

// leaveBehind is a problem if there are rows in a table that does not move, unless
// the operator accepts it. why is the reason for the reply.
func (p planner) leaveBehind(t *table, why, what, fix string) error {
	n, err := t.Count()
	switch {
	case err != nil:
		return err
	case n == 0:
		p.skip(t.Name, t.File, why+"; it is empty")
	case p.accepted(t.Name):
		p.skip(t.Name, t.File, fmt.Sprintf("%s; %d rows stay behind as accepted", why, n))
	default:
		return problem.Problem{What: fmt.Sprintf("%s; %d rows would be lost", what, n), At: t.At(), Fix: fix}
	}
	return nil
}

// matchColumn plans one column of the source.
func (p planner) matchColumn(t *table, c sqlite.Column) error {
	name := c.Name
	if renamed, ok := t.Renames[name]; ok {
		name = renamed
	}
	target, ok := t.To.Column(name)
	if !ok {
		target, ok = t.To.Column(strings.ToLower(name))
	}
	if !ok || target.Type.Kind == convert.Unsupported {
		return p.withoutColumn(t, c, ok)
	}
	planned := load.Column{
		Column: convert.Column{Type: target.Type, Parsed: true,
			Epoch: slices.Contains(t.Epoch, c.Name), UTC: slices.Contains(t.UTC, c.Name)},
		Name: target.Name, Source: c.Name, NotNull: target.NotNull, Sequence: target.Sequence,
		Secret: slices.Contains(t.Secrets, target.Name),
		Zero:   t.Null[target.Name] == cidx.Zero, Dated: t.Null[target.Name] == cidx.Moment,
	}
	switch rule := t.Paths[c.Name]; {
	case len(p.moves) == 0:
	case rule == cidx.PathRewrite:
		planned.Rewrite = func(path string) string { return repath.Rewrite(path, p.moves) }
	case rule == cidx.URLRewrite:
		planned.Rewrite = func(url string) string { return repath.RewriteURL(url, p.moves) }
	}
	if slices.Contains(t.Local, c.Name) {
		planned.Zone = p.zone
	}
	t.Columns = append(t.Columns, planned)
	return nil
}

func (p planner) withoutColumn(t *table, c sqlite.Column, unsupported bool) error {
	n, err := t.Number("SELECT count(*) FROM " + sqlite.Quote(t.From.Name) + " WHERE " + sqlite.Quote(c.Name) + " IS NOT NULL")
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
	return problem.Problem{What: what, At: t.At() + "." + c.Name,
		Fix: "bring CIDX's schema up to date with its migration runner, or add " + at + " to cidx_database_accept"}
}

// required finds columns that PostgreSQL insists on and the source lacks.
func (t *table) required() problem.List {
	var problems problem.List
	for _, c := range t.To.Columns {
		if t.Index(c.Name) < 0 && c.NotNull && !c.Default && t.guess > 0 {
			problems = append(problems, problem.Problem{What: "PostgreSQL requires column " + c.Name + ", which the source does not have", At: t.At(),
				Fix: "start the standalone server of the release that the cluster runs once, so that it upgrades its databases"})
		}
	}
	return problems
}

// largeTable is from how many rows on rebuilding indexes pays: a load of 10^5
// rows was a quarter shorter with it for the two tables of 10,000 rows, and
// longer with it for those of 1,000.
const largeTable = 5000

// estimate guesses the number of rows from the row ids, and counts where that may
// matter: large decides about indexes, and warnings show the number.
func (t *table) estimate() error {
	var err error
	if t.From.RowID != "" {
		id, from := t.From.RowID, " FROM "+sqlite.Quote(t.From.Name)
		t.guess, err = t.Number("SELECT coalesce((SELECT max(" + id + ")" + from + ") - (SELECT min(" + id + ")" + from + ") + 1, 0)")
		if err != nil || t.guess >= 0 && t.guess < largeTable {
			return err
		}
	}
	t.guess, err = t.Count()
	t.large = t.guess >= largeTable
	return err
}

// order sorts the tables so that parents come first, else as the catalogue has
// them.
func (p *plan) order() error {
	var sorted []*table
	state := map[string]int{} // 1: being visited, 2: done
	var visit func(t *table) error
	visit = func(t *table) error {
		if state[t.Name] == 2 {
			return nil
		}
		if state[t.Name] == 1 {
			return fmt.Errorf("order tables: %s refers to itself through other tables", t.Name)
		}
		state[t.Name] = 1
		for _, f := range t.To.ForeignKeys {
			if parent := p.table(f.Table); parent != nil && parent != t {
				if err := visit(parent); err != nil {
					return err
				}
			}
		}
		state[t.Name] = 2
		sorted = append(sorted, t)
		return nil
	}
	for _, t := range p.tables {
		if err := visit(t); err != nil {
			return err
		}
	}
	p.tables = sorted
	return nil
}

func (p *plan) table(name string) *table {
	for _, t := range p.tables {
		if t.Name == name {
			return t
		}
	}
	return nil
}
