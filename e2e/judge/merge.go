package judge

import (
	"fmt"
	"slices"
	"strings"
)

// plan is how one table is read on both sides: the key first, then the other columns.
type plan struct {
	table   string
	columns []column // PostgreSQL
	source  []string // the same columns in SQLite
	keys    int
	whole   []bool // keys that are integers
}

// plan answers nil if the table cannot be compared; the reason is reported.
func (d *database) plan(name string, has []string) (*plan, error) {
	known, target := d.schema[name], d.columns[name]
	if target == nil {
		d.report.differ("schema", "postgres/"+name, "table is missing")
		return nil, nil
	}
	p := &plan{table: name, keys: len(known.key())}
	back := map[string]string{} // PostgreSQL's name -> SQLite's
	order := slices.Clone(known.key())
	for _, c := range has {
		to := known.rename(c)
		back[to] = c
		if !slices.Contains(known.key(), to) {
			order = append(order, to)
		}
		if _, is := known.Sqlite.Columns[c]; !is {
			d.report.differ("schema", joined("sqlite", name, c), "unknown column")
		}
	}
	for _, c := range order {
		to, is := target[c]
		switch {
		case !is:
			d.report.differ("schema", joined("postgres", name, c), "column is missing")
		case back[c] == "":
			return nil, fmt.Errorf("compare table %s: key column %s is not in the source", name, c)
		default:
			p.add(to, back[c])
		}
	}
	for c := range target {
		if back[c] == "" {
			d.report.note("column %s.%s: not in the source, not compared", name, c)
		}
	}
	return p, nil
}

func (p *plan) add(to column, from string) {
	if len(p.columns) < p.keys {
		p.whole = append(p.whole, to.kind == "integer" || to.kind == "bigint")
	}
	p.columns, p.source = append(p.columns, to), append(p.source, from)
}

func (p *plan) lite() []string {
	out := make([]string, len(p.source))
	for i, c := range p.source {
		out[i] = ident(c)
	}
	return out
}

func (p *plan) liteOrder() string {
	return "FROM " + ident(p.table) + " ORDER BY " + strings.Join(p.lite()[:p.keys], ", ")
}

func (p *plan) postgres() string {
	var columns, order []string
	for i, c := range p.columns {
		columns = append(columns, ident(c.name))
		if i < p.keys {
			by := ident(c.name)
			if !p.whole[i] {
				by += ` COLLATE "C"`
			}
			order = append(order, by)
		}
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM " + ident(p.table) + " ORDER BY " + strings.Join(order, ", ")
}

// merge walks two sorted streams of rows.
type merge struct {
	d    *database
	plan *plan
	rows int
}

func newMerge(d *database, p *plan) *merge { return &merge{d: d, plan: p} }

func (m *merge) run(left <-chan []liteValue, right <-chan []pgValue) {
	was, more := <-left
	is, also := <-right
	for more || also {
		side := 0
		switch {
		case !also:
			side = -1
		case !more:
			side = 1
		default:
			side = compareKeys(liteKey(was[:m.plan.keys]), pgKey(is[:m.plan.keys]), m.plan.whole)
		}
		switch {
		case side < 0:
			m.lost(was)
			was, more = <-left
		case side > 0:
			m.extra(is)
			is, also = <-right
		default:
			m.compare(was, is)
			was, more = <-left
			is, also = <-right
		}
	}
}

func liteKey(values []liteValue) []string {
	key := make([]string, len(values))
	for i, v := range values {
		key[i] = plain(v)
	}
	return key
}

func pgKey(values []pgValue) []string {
	key := make([]string, len(values))
	for i, v := range values {
		key[i] = v.text
	}
	return key
}

func (m *merge) name(key []string) string {
	shown := slices.Clone(key)
	for i := range shown {
		if secretColumns[m.plan.columns[i].id()] {
			shown[i] = "(secret)"
		}
	}
	return joined("postgres", m.plan.table, strings.Join(shown, "+"))
}

func (m *merge) lost(was []liteValue) {
	if m.nodesOwnRow(was) {
		return
	}
	m.rows++
	m.d.report.differ(rowsCategory, m.name(liteKey(was[:m.plan.keys])), "row is missing in PostgreSQL")
}

func (m *merge) extra(is []pgValue) {
	if m.d.running && (growing[m.plan.table] || sweeping[m.plan.table]) {
		return
	}
	m.d.report.differ(rowsCategory, m.name(pgKey(is[:m.plan.keys])), "row is not in the source")
}

func (m *merge) compare(was []liteValue, is []pgValue) {
	m.rows++
	if m.nodesOwnRow(was) {
		return
	}
	active := m.active(was)
	for i, c := range m.plan.columns {
		if m.d.running && (living[c.id()] || sweeping[c.table]) || m.metaRow(c, was) {
			continue
		}
		why := ""
		if active {
			why = m.sameEnded(c, was[i], is[i])
		} else {
			why = m.d.compare.same(c, was[i], is[i])
		}
		if why != "" {
			m.d.report.differ(rowsCategory, joined(m.name(pgKey(is[:m.plan.keys])), c.name), "%s", why)
		}
	}
}

// active says whether the row is a job that was pending or running.
func (m *merge) active(was []liteValue) bool {
	if _, is := jobTables[m.plan.table]; !is {
		return false
	}
	at := slices.IndexFunc(m.plan.columns, func(c column) bool { return c.name == "status" })
	return at >= 0 && (was[at].text == "pending" || was[at].text == "running")
}

// sameEnded judges a column of such a job: it must have arrived as failed.
func (m *merge) sameEnded(c column, was liteValue, is pgValue) string {
	job := jobTables[m.plan.table]
	switch {
	case c.name == "status" && is.text != "failed":
		return fmt.Sprintf("was %q, is %q, want \"failed\"", was.text, is.text)
	case c.name == "status" || job.free[c.name]:
		return ""
	case c.name == job.ends && was.class == 'n':
		if _, err := parsePostgresTime(is.text); err != nil {
			return "is no time, the job must have ended"
		}
		return ""
	case c.name == job.message:
		if is.null || is.text == "" {
			return "is empty, the job must say why it failed"
		}
		return ""
	}
	return m.d.compare.same(c, was, is)
}
