package database

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
)

// rehearse does what a load does, up to its last comparison, and takes it back.
// problems are those that are known already.
func (r *runner) rehearse(ctx context.Context, problems problem.List) error {
	problems.Add(r.source.integrity(ctx, r.meter))
	problems.Add(r.move(ctx))
	if err := r.lists.save(); err != nil {
		return err
	}
	return r.forecast(ctx, problems)
}

// rehearsal is a passage that leaves nothing behind.
func (w work) rehearsal() *passage {
	p := w.passage()
	p.trial, p.end = true, func(p *passage, ctx context.Context) error { return postgres.Run(ctx, p.conn, "ROLLBACK") }
	return p
}

// standIn prepares the target for a rehearsal while index runs of the server
// write to it: none of them waits, and no sequence goes on.
func (p *passage) standIn(ctx context.Context) error {
	if !p.trial {
		return nil
	}
	if err := p.shield(ctx); err != nil {
		return err
	}
	for _, t := range p.tables {
		if !t.Grows {
			continue
		}
		err := p.within(ctx, func() error { return t.standIn(ctx, p.conn) })
		switch {
		case postgres.Code(err) == "42501" && strings.Contains(err.Error(), "temporary"):
			p.warnings.add("%s is not rehearsed: role %s may not make temporary tables (GRANT TEMPORARY ON DATABASE), "+
				"and index runs write to the table itself", t.Name, p.catalog.Server.User)
			p.leave(t)
		case err != nil:
			return err
		}
	}
	return nil
}

// standIn has a copy of a table take its place, with what is in it and its
// triggers. Foreign keys cannot come along; CIDX has none there.
func (t *transfer) standIn(ctx context.Context, conn *pgconn.PgConn) error {
	real, copied := t.To, *t.To
	copied.Schema = "pg_temp"
	to, from := copied.Qualified(), real.Qualified()
	list := load.Join(real.Columns, ", ", func(c postgres.Column) string { return postgres.Quote(c.Name) })
	insert := " (" + list + ") OVERRIDING SYSTEM VALUE SELECT " + list + " FROM " + from
	// What is done to no row shows which rights are lacking, and holds nobody up.
	statements := "CREATE TEMPORARY TABLE " + postgres.Quote(t.Name) + " (LIKE " + from + " INCLUDING ALL); INSERT INTO " + to + insert +
		"; DELETE FROM " + from + " WHERE false; INSERT INTO " + from + insert + " WHERE false"
	if err := postgres.Run(ctx, conn, statements); err != nil {
		return fmt.Errorf("copy table %s for the rehearsal: %w", t.Name, err)
	}
	rows, err := postgres.Rows(ctx, conn, `SELECT $3::regclass::oid,
		string_agg(replace(pg_get_triggerdef(oid), format(' ON %I.%I ', $1::text, $2::text), ' ON ' || $3::text || ' '), '; ')
		FROM pg_trigger WHERE tgrelid = $4::oid AND NOT tgisinternal AND tgenabled <> 'D'`, real.Schema, real.Name, to, real.OID)
	if err == nil {
		copied.OID = string(rows[0][0])
		err = postgres.Run(ctx, conn, string(rows[0][1]))
	}
	if err != nil {
		return fmt.Errorf("copy the triggers of %s for the rehearsal: %w", t.Name, err)
	}
	other := *t.table
	other.To, t.table = &copied, &other
	return nil
}

// shield gives sequences new files: a rollback brings the old ones back, and with
// them what defaults and triggers have drawn meanwhile, which it does not by
// itself. Those of index runs are left alone; what is drawn from one that belongs
// to somebody else is gone.
func (p *passage) shield(ctx context.Context) error {
	grow, triggers := []string{"''"}, false
	for _, t := range p.tables {
		triggers = triggers || t.To.Triggers != ""
		for _, c := range t.To.Columns {
			if t.Grows && c.Sequence != "" {
				grow = append(grow, postgres.Literal(c.Sequence))
			}
		}
	}
	rows, err := postgres.Rows(ctx, p.conn, `SELECT string_agg(format('ALTER SEQUENCE %s INCREMENT BY %s', s.seqrelid::regclass, s.seqincrement), '; ')
		FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid WHERE pg_has_role(c.relowner, 'USAGE') AND c.relpersistence <> 't'
		AND (c.relnamespace = to_regnamespace($1) OR $2) AND s.seqrelid <> ALL (
			SELECT coalesce(to_regclass(name), 0) FROM unnest(ARRAY[`+strings.Join(grow, ", ")+`]) name WHERE name <> '')`,
		postgres.Quote(p.catalog.Server.Schema), fmt.Sprint(triggers))
	if err != nil || rows[0][0] == nil {
		return err
	}
	if err := p.within(ctx, func() error { return postgres.Run(ctx, p.conn, string(rows[0][0])) }); err != nil && !refusal(err) {
		return fmt.Errorf("keep sequences as they are: %w", err)
	}
	return nil // an event trigger may forbid it; then it forbids the load, too, if that needs it
}

// forecast tells what the real run would do.
func (r *runner) forecast(ctx context.Context, problems problem.List) error {
	r.out.Changed = true
	if len(problems) > 0 {
		r.out.Msg = "the load would stop"
		if n := r.finds.total(); n > 0 {
			r.out.Msg += fmt.Sprintf("; %s values or rows do not fit", human.Number(n))
		}
		return problems
	}
	var empty []string
	for _, t := range r.done {
		if t.Conn != nil && t.rows == 0 {
			empty = append(empty, t.Name)
		} else if t.Conn != nil {
			progress.Line(ctx, "  Would migrate %s... %s", t.Name, human.Count(t.rows, "row", "rows"))
		}
		if t.guests != nil {
			progress.Line(ctx, "  Would keep %s... %s", t.Name, t.guests)
		}
	}
	if len(empty) > 0 {
		progress.Line(ctx, "  %s", emptyTables("Would migrate", empty))
	}
	sum := r.done.totals()
	r.out.Msg = fmt.Sprintf("would load %s of %s", human.Count(sum.rows, "row", "rows"), human.Count(sum.tables, "table", "tables"))
	if r.finds.total() > 0 {
		r.out.Msg += fmt.Sprintf("; %s would go to quarantine", human.Count(sum.left, "row", "rows"))
		for _, p := range r.finds.problems {
			r.warnings.add("%s", p.Error())
		}
	}
	return nil
}
