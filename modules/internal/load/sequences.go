package load

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// sequence is a sequence that fills a column of a table that is loaded.
type sequence struct {
	t       *Transfer
	column  *postgres.Column
	highest int64 // id of either side that it must not give out again
	current int64 // that it gave out last
	Step    int64
	last    int64 // id that it can give out and the column can hold
	owned   bool  // may be altered
}

// sequences lists the sequences of the plan, without asking PostgreSQL.
func (tables Transfers) sequences() (list []*sequence) {
	for _, t := range tables {
		for i := range t.To.Columns {
			if c := &t.To.Columns[i]; c.Sequence != "" {
				list = append(list, &sequence{t: t, column: c})
			}
		}
	}
	return list
}

func (s *sequence) regclass() string { return postgres.Literal(s.column.Sequence) + "::regclass" }

// sequenceRights finds the rights on sequences that the load and CIDX need and
// the role lacks.
func (s *Session) sequenceRights(ctx context.Context, list []*sequence) error {
	names := Join(list, "\n", func(s *sequence) string { return s.column.Sequence })
	rows, err := postgres.Rows(ctx, s.Conn, `SELECT string_agg(s, ', ' ORDER BY n)
		FROM unnest(string_to_array($1, chr(10))) WITH ORDINALITY u(s, n)
		WHERE NOT (has_sequence_privilege(s, 'SELECT') AND has_sequence_privilege(s, 'UPDATE'))`, names)
	if err != nil || rows[0][0] == nil {
		return err
	}
	schema, user := s.Catalog.Server.Schema, s.Catalog.Server.User
	return problem.Problem{What: "role " + user + " lacks rights (SELECT, UPDATE) on sequences " + string(rows[0][0]), At: s.Where,
		Fix: "GRANT ALL ON ALL SEQUENCES IN SCHEMA " + schema + " TO " + user + ", or connect as the owner of CIDX's tables"}
}

// readSequences reads where every sequence stands and where its table does, on
// either side.
func (s *Session) readSequences(ctx context.Context, tables Transfers) ([]*sequence, error) {
	list := tables.sequences()
	if len(list) == 0 {
		return nil, nil
	}
	if err := s.sequenceRights(ctx, list); err != nil {
		return nil, err
	}
	var parts []string
	for _, s := range list {
		if s.t.Conn != nil {
			var err error
			if s.highest, err = s.t.Highest(s.column.Name); err != nil {
				return nil, err
			}
		}
		parts = append(parts, "(SELECT coalesce(max("+postgres.Quote(s.column.Name)+"), 0) FROM "+s.t.To.Qualified()+")",
			"(SELECT CASE WHEN is_called THEN last_value ELSE last_value - seqincrement END || ' ' || seqincrement || ' ' || seqmax "+
				"|| ' ' || pg_has_role(relowner, 'USAGE')::int FROM "+s.column.Sequence+
				", pg_sequence JOIN pg_class ON pg_class.oid = seqrelid WHERE seqrelid = "+s.regclass()+")")
	}
	rows, err := postgres.Rows(ctx, s.Conn, "SELECT "+strings.Join(parts, ", "))
	if err != nil {
		return nil, fmt.Errorf("read sequences: %w", err)
	}
	for i, s := range list {
		there, _ := strconv.ParseInt(string(rows[0][2*i]), 10, 64)
		s.highest = max(s.highest, there)
		var owned int
		if _, err := fmt.Sscan(string(rows[0][2*i+1]), &s.current, &s.Step, &s.last, &owned); err != nil {
			return nil, fmt.Errorf("read sequence %s: %w", s.column.Sequence, err)
		}
		s.owned, s.last = owned == 1, min(s.last, s.column.Type.Kind.Largest())
	}
	return list, nil
}

// due reports whether the sequence would give out an id that exists.
func (s *sequence) due() bool { return s.highest > s.current }

// fault is why the sequence cannot go on after the load, or nil.
func (s *sequence) fault(where string) error {
	name := s.column.Sequence
	p := problem.Problem{At: where + ", table " + s.t.Name}
	switch {
	case s.Step < 0:
		p.What = fmt.Sprintf("sequence %s counts downwards (increment %d): it would give out ids that exist", name, s.Step)
		p.Fix = "ALTER SEQUENCE " + name + " INCREMENT BY 1 NO MAXVALUE NO MINVALUE, as CIDX's schema has it"
	case s.highest >= s.last:
		p.What = fmt.Sprintf("no id is left after %d, the highest of %s: sequence %s and its column end at %d",
			s.highest, s.t.At(), name, s.last)
		p.Fix = "with the standalone server stopped, lower that id (and what sqlite_sequence says) in SQLite; " +
			"or widen column and sequence in PostgreSQL (bigint, NO MAXVALUE)"
	case !s.due() && s.current > s.last-s.Step:
		p.What = fmt.Sprintf("sequence %s is at its end: it stands at %d, and %d is the last id", name, s.current, s.last)
		p.Fix = fmt.Sprintf("ALTER SEQUENCE %s RESTART WITH %d", name, s.highest+1)
	default:
		return nil
	}
	return p
}

// SetSequences puts every sequence above the highest id of its table, on either
// side. It is transactional where the sequence is ours; for the others, setval()
// has to wait until nothing but the commit is left. A rehearsal leaves alone what
// index runs draw from.
func (p *Passage) SetSequences(ctx context.Context) error {
	list, err := p.readSequences(ctx, p.Tables)
	if err != nil {
		return err
	}
	var problems problem.List
	var statements []string
	for _, s := range list {
		problems.Add(s.fault(p.Where))
		switch {
		case !s.due() || p.Trial && s.t.Grows:
		case s.owned:
			statements = append(statements, fmt.Sprintf("ALTER SEQUENCE %s RESTART WITH %d", s.column.Sequence, s.highest+1))
		default:
			p.late = append(p.late, fmt.Sprintf("SELECT setval(%s, %d)", s.regclass(), s.highest))
		}
	}
	if err := problems.Err(); err != nil || len(statements) == 0 {
		return err
	}
	if err := postgres.Run(ctx, p.Conn, strings.Join(statements, "; ")); err != nil {
		return fmt.Errorf("set sequences: %w", err)
	}
	return nil
}
