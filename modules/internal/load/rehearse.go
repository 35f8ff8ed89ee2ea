package load

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/postgres"
)

// StandIn prepares the target for a rehearsal while index runs of the server
// write to it: none of them waits, and no sequence goes on.
func (p *Passage) StandIn(ctx context.Context) error {
	if !p.Trial {
		return nil
	}
	if err := p.shield(ctx); err != nil {
		return err
	}
	for _, t := range p.Tables {
		if !t.Grows {
			continue
		}
		err := p.within(ctx, func() error { return t.standIn(ctx, p.Conn) })
		switch {
		case postgres.Code(err) == "42501" && strings.Contains(err.Error(), "temporary"):
			p.Warnings.Add("%s is not rehearsed: role %s may not make temporary tables (GRANT TEMPORARY ON DATABASE), "+
				"and index runs write to the table itself", t.Name, p.Catalog.Server.User)
			p.leave(t)
		case err != nil:
			return err
		}
	}
	return nil
}

// standIn has a copy of a table take its place, with what is in it and its
// triggers. Foreign keys cannot come along; CIDX has none there.
func (t *Transfer) standIn(ctx context.Context, conn *pgconn.PgConn) error {
	real, copied := t.To, *t.To
	copied.Schema = "pg_temp"
	to, from := copied.Qualified(), real.Qualified()
	list := Join(real.Columns, ", ", func(c postgres.Column) string { return postgres.Quote(c.Name) })
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
	other := *t.Table
	other.To, t.Table = &copied, &other
	return nil
}

// shield gives sequences new files: a rollback brings the old ones back, and with
// them what defaults and triggers have drawn meanwhile, which it does not by
// itself. Those of index runs are left alone; what is drawn from one that belongs
// to somebody else is gone.
func (p *Passage) shield(ctx context.Context) error {
	grow, triggers := []string{"''"}, false
	for _, t := range p.Tables {
		triggers = triggers || t.To.Triggers != ""
		for _, c := range t.To.Columns {
			if t.Grows && c.Sequence != "" {
				grow = append(grow, postgres.Literal(c.Sequence))
			}
		}
	}
	rows, err := postgres.Rows(ctx, p.Conn, `
		SELECT string_agg(format('ALTER SEQUENCE %s INCREMENT BY %s', s.seqrelid::regclass, s.seqincrement), '; ')
		FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid WHERE pg_has_role(c.relowner, 'USAGE') AND c.relpersistence <> 't'
		AND (c.relnamespace = to_regnamespace($1) OR $2) AND s.seqrelid <> ALL (
			SELECT coalesce(to_regclass(name), 0) FROM unnest(ARRAY[`+strings.Join(grow, ", ")+`]) name WHERE name <> '')`,
		postgres.Quote(p.Catalog.Server.Schema), fmt.Sprint(triggers))
	if err != nil || rows[0][0] == nil {
		return err
	}
	if err := p.within(ctx, func() error { return postgres.Run(ctx, p.Conn, string(rows[0][0])) }); err != nil && !refusal(err) {
		return fmt.Errorf("keep sequences as they are: %w", err)
	}
	return nil // an event trigger may forbid it; then it forbids the load, too, if that needs it
}
