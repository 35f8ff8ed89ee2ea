// Package plan matches CIDX's catalogue with the databases of a server and the
// schema of the cluster: which rows go where, by which rules, and what would stay
// behind although it holds data. It only looks.
package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/convert"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/origin"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/repath"
	"cidx-cluster/modules/internal/sqlite"
)

// Plan is which rows go where. It never changes once it is made.
type Plan struct {
	Tables  []*load.Table // parents before children
	Skipped []Skipped
	lacking []lacking // what the source does not have; also in Skipped
}

// Skipped is a table that does not move.
type Skipped struct {
	Table  string `json:"table"`
	File   string `json:"file,omitempty"`
	Reason string `json:"reason"`
}

// Rules are what a plan is made by.
type Rules struct {
	Home     string
	Moves    map[string]string      // path prefixes, old to new
	Zone     *time.Location         // of times that CIDX keeps as local time
	Moment   time.Time              // of the load
	Accepted func(name string) bool // whether a table, column or file may stay behind
}

// planner matches both schemas by name.
type planner struct {
	Rules
	*load.Notes
	source  *origin.Source
	catalog *postgres.Catalog
	plan    *Plan
}

// Make plans a load. What stays behind although it holds data is a problem, unless
// it is accepted.
func Make(source *origin.Source, catalog *postgres.Catalog, rules Rules, n *load.Notes) (*Plan, error) {
	p := planner{rules, n, source, catalog, &Plan{}}
	var problems problem.List
	var err error
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
			p.plan.Tables = append(p.plan.Tables, t)
		}
	}
	problems.Add(p.lostTables())
	problems.Add(p.unknownTables(known))
	problems.Add(p.unknownFiles())
	p.plan.Tables, err = load.Order(p.plan.Tables)
	problems.Add(err)
	return p.plan, problems.Err()
}

func (p planner) skip(table, file, reason string) {
	p.plan.Skipped = append(p.plan.Skipped, Skipped{table, file, reason})
}

// match plans one table; nil means that there is nothing to move.
func (p planner) match(entry cidx.Table) (*load.Table, error) {
	t := &load.Table{Name: entry.Name, File: entry.File}
	for _, from := range p.source.Tables[entry.File] {
		if strings.EqualFold(from.Name, entry.Name) {
			t = p.source.Table(entry, from)
		}
	}
	t.To, t.Active, t.Moment = p.catalog.Tables[entry.Name], (*load.Active)(entry.Active), p.Moment
	t.Grows, t.Wanes, t.Checked, t.SeedsOf = entry.Grows, entry.Wanes, entry.Checked, entry.SeedsOf
	for _, seed := range entry.Seeds {
		t.Seeds = append(t.Seeds, seed)
	}
	if t.File == cidx.Activated {
		t.Moved = p.source.Moved
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
	if err := t.Estimate(); err != nil {
		return nil, err
	}
	var problems problem.List
	for _, c := range t.From.Columns {
		problems.Add(p.matchColumn(t, entry, c))
	}
	required := t.Required()
	t.Unfit = len(required) > 0
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
func (p planner) leaveBehind(t *load.Table, why, what, fix string) error {
	n, err := t.Count()
	switch {
	case err != nil:
		return err
	case n == 0:
		p.skip(t.Name, t.File, why+"; it is empty")
	case p.Accepted(t.Name):
		p.skip(t.Name, t.File, fmt.Sprintf("%s; %d rows stay behind as accepted", why, n))
	default:
		return problem.Problem{What: fmt.Sprintf("%s; %d rows would be lost", what, n), At: t.At(), Fix: fix}
	}
	return nil
}

// matchColumn plans one column of the source.
func (p planner) matchColumn(t *load.Table, entry cidx.Table, c sqlite.Column) error {
	name := c.Name
	if renamed, ok := entry.Renames[name]; ok {
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
			Epoch: slices.Contains(entry.Epoch, c.Name), UTC: slices.Contains(entry.UTC, c.Name)},
		Name: target.Name, Source: c.Name, NotNull: target.NotNull, Sequence: target.Sequence,
		Secret: slices.Contains(entry.Secrets, target.Name),
		Zero:   entry.Null[target.Name] == cidx.Zero, Dated: entry.Null[target.Name] == cidx.Moment,
	}
	switch rule := entry.Paths[c.Name]; {
	case len(p.Moves) == 0:
	case rule == cidx.PathRewrite:
		planned.Rewrite = func(path string) string { return repath.Rewrite(path, p.Moves) }
	case rule == cidx.URLRewrite:
		planned.Rewrite = func(url string) string { return repath.RewriteURL(url, p.Moves) }
	}
	if slices.Contains(entry.Local, c.Name) {
		planned.Zone = p.Zone
	}
	t.Columns = append(t.Columns, planned)
	return nil
}

func (p planner) withoutColumn(t *load.Table, c sqlite.Column, unsupported bool) error {
	n, err := t.Conn.Number("SELECT count(*) FROM " + sqlite.Quote(t.From.Name) + " WHERE " + sqlite.Quote(c.Name) + " IS NOT NULL")
	at := t.Name + "." + c.Name
	switch {
	case err != nil:
		return err
	case n == 0:
		return nil
	case p.Accepted(at):
		p.Warnings.Add("%s stays behind in %s, as accepted", at, human.Count(n, "row", "rows"))
		return nil
	}
	what := fmt.Sprintf("PostgreSQL has no such column; %d values would be lost", n)
	if unsupported {
		what = fmt.Sprintf("PostgreSQL's column has a type that is not supported; %d values would be lost", n)
	}
	return problem.Problem{What: what, At: t.At() + "." + c.Name,
		Fix: "bring CIDX's schema up to date with its migration runner, or add " + at + " to cidx_database_accept"}
}
