package database

import (
	"strings"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/sqlite"
)

// warnTimes tells of times whose zone is a guess.
func (r *runner) warnTimes(t *table) {
	for i := range t.columns {
		c := &t.columns[i]
		if c.Assumed > 0 {
			r.warnings.add("%s.%s: no offset in %s; taken as UTC", t.Name, c.Name, human.Count(c.Assumed, "time", "times"))
		}
		if c.Ambiguous > 0 {
			r.warnings.add("%s.%s: %d local times fall into a change of the clocks; the earlier moment is taken", t.Name, c.Name, c.Ambiguous)
		}
		c.Assumed, c.Ambiguous = 0, 0
	}
}

// warnDangling tells of references that only SQLite declares: PostgreSQL takes
// such rows, so they move as they are.
func (r *runner) warnDangling(t *table) {
	for from, to := range t.Checked {
		name, column, _ := strings.Cut(to, ".")
		parent := r.plan.table(name)
		if parent == nil || parent.conn != t.conn {
			continue
		}
		if _, ok := t.from.Column(from); !ok {
			continue
		}
		n, err := t.number("SELECT count(*) FROM " + sqlite.Quote(t.from.Name) + " c WHERE c." + sqlite.Quote(from) + " IS NOT NULL AND NOT EXISTS (SELECT 1 FROM " +
			sqlite.Quote(parent.from.Name) + " p WHERE p." + sqlite.Quote(column) + " = c." + sqlite.Quote(from) + ")")
		if err == nil && n > 0 {
			r.warnings.add("%s.%s: %s of rows of %s that do not exist; moved unchanged", t.Name, from, human.Count(n, "reference", "references"), name)
		}
	}
}
