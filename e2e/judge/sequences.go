package judge

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// highestID notes the highest id of a table with a sequence: in its rows, or
// given once and deleted since, which only sqlite_sequence knows.
func (d *database) highestID(ctx context.Context, source *lite, name string) error {
	for column, c := range d.schema[name].Postgres.Columns {
		if c.Sequence == "" {
			continue
		}
		sql := fmt.Sprintf("max((SELECT coalesce(max(%s), 0) FROM %s), (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = '%s'))",
			ident(column), ident(name), name)
		err := source.stream(ctx, []string{sql}, "", func(row []liteValue) error {
			d.guard.Lock()
			defer d.guard.Unlock()
			d.highest[name] = row[0].whole
			return nil
		})
		if err != nil {
			return fmt.Errorf("read sequence of %s: %w", name, err)
		}
	}
	return nil
}

// judgeSequences wants every next id above every id that either side ever gave.
func (d *database) judgeSequences(ctx context.Context) error {
	found, err := d.db.query(ctx, `SELECT c.relname, a.attname, pg_get_serial_sequence(quote_ident(c.relname), a.attname)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
		AND pg_get_serial_sequence(quote_ident(c.relname), a.attname) IS NOT NULL`)
	if err != nil {
		return fmt.Errorf("find sequences: %w", err)
	}
	var parts []string
	for _, f := range found {
		if t, known := d.schema[f[0]]; known && t.copied() {
			parts = append(parts, fmt.Sprintf("SELECT '%s', '%s', last_value + is_called::int, (SELECT coalesce(max(%s), 0) FROM %s) FROM %s",
				f[0], f[1], ident(f[1]), ident(f[0]), f[2]))
		}
	}
	if len(parts) == 0 {
		return nil
	}
	rows, err := d.db.query(ctx, strings.Join(parts, " UNION ALL "))
	if err != nil {
		return fmt.Errorf("read sequences: %w", err)
	}
	d.report.checked("sequences", len(rows))
	for _, r := range rows {
		next, _ := strconv.ParseInt(r[2], 10, 64)
		highest, _ := strconv.ParseInt(r[3], 10, 64)
		if highest = max(highest, d.highest[r[0]]); next <= highest {
			d.report.differ("sequences", joined("postgres", r[0], r[1]), "next id is %d, ids up to %d are used", next, highest)
		}
	}
	return nil
}
