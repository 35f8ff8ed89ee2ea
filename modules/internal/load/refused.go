package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/sqlite"
)

// refusal reports whether err is about what is loaded or where to: not about the
// connection, the machine, or another session.
func refusal(err error) bool {
	var one problem.Problem
	var list problem.List
	if errors.Is(err, ErrMisfit) || errors.As(err, &one) || errors.As(err, &list) {
		return true
	}
	code := postgres.Code(err)
	if len(code) < 2 || code == "55P03" {
		return false
	}
	switch code[:2] {
	case "08", "25", "40", "53", "57", "58", "F0", "XX":
		return false
	}
	return true
}

// refusals are those of whole tables and of the database.
type refusals struct {
	problems problem.List
	denied   []string // what the role lacks rights on
}

func (f *refusals) note(s *Session, t *Transfer, err error) {
	var fault *pgconn.PgError
	if !errors.As(err, &fault) {
		f.problems.Add(err)
		return
	}
	const security = "row-level security"
	if fault.Code == "42501" && !strings.Contains(fault.Message, security) {
		f.denied = append(f.denied, strings.TrimPrefix(fault.Message, "permission denied for "))
		return
	}
	found := problem.Of(s.Explain(err))
	if t != nil && fault.TableName == "" {
		found[0].At = s.Where + ", table " + t.Name
	}
	if strings.Contains(fault.Message, security) {
		found[0].Fix = "disable it for the migration (ALTER TABLE … DISABLE ROW LEVEL SECURITY), or connect as the owner of CIDX's tables"
	}
	if names := raised(fault); names != "" {
		found[0].What += names
		found[0].Fix = "nothing was changed; disable what refuses it for the migration (pg_trigger, pg_event_trigger)"
	}
	f.problems = append(f.problems, found...)
}

// list is everything; the rights that the role lacks are one problem.
func (f *refusals) list(s *Session) problem.List {
	if len(f.denied) == 0 {
		return f.problems
	}
	server := s.Catalog.Server
	to := " IN SCHEMA " + server.Schema + " TO " + server.User
	return append(f.problems, problem.Problem{What: "role " + server.User + " lacks rights on " + strings.Join(f.denied, ", "),
		At: s.Where, Fix: "GRANT ALL ON ALL TABLES" + to + "; GRANT ALL ON ALL SEQUENCES" + to +
			"; or connect as the owner of CIDX's tables"})
}

// everyRow is why none of the rows that were tried got into a table.
func everyRow(t *Table, fault *pgconn.PgError, where string) error {
	fix := "nothing was changed; look at the table's triggers and constraints in PostgreSQL"
	if t.To.Triggers != "" {
		fix = "nothing was changed; disable it for the migration: " + t.To.Triggers + " of " + t.Name
	}
	return problem.Problem{What: "PostgreSQL refuses every row: " + fault.Message + " (SQLSTATE " + fault.Code + ")" + raised(fault),
		At: where + ", table " + t.Name, Fix: fix}
}

var function = regexp.MustCompile(`(?m)^(?:PL/pgSQL|SQL) function [^\n]*`)

// raised names the function in which PostgreSQL was when it refused; the rest of
// the context may show values.
func raised(fault *pgconn.PgError) string {
	if name := function.FindString(fault.Where); name != "" {
		return ", raised in " + name
	}
	return ""
}

var line = regexp.MustCompile(`(?m)^COPY [^\n]*?, \S+ (\d+)`)

// lineOf is the row of a COPY at which it was refused, 0 if that is not known.
func lineOf(err error) int {
	var fault *pgconn.PgError
	if !errors.As(err, &fault) {
		return 0
	}
	n := 0
	if found := line.FindStringSubmatch(fault.Where); found != nil {
		n, _ = strconv.Atoi(found[1])
	}
	return n
}

// ofRow reports whether a row can be the reason for a refusal.
func ofRow(err error) bool {
	code := postgres.Code(err)
	return code != "" && refusal(err) && code != "42501" && code != "0A000"
}

// ofValues reports whether the values of a row are the reason.
func ofValues(fault *pgconn.PgError) bool {
	class := fault.Code[:2]
	return class == "22" || class == "23" || class == "54"
}

// why is the find of a row that PostgreSQL refuses. Details of the fault that
// hold values are left out.
func why(ctx context.Context, conn *pgconn.PgConn, t *Table, id int64, fault *pgconn.PgError) (Find, error) {
	d, err := t.Picker()
	if err != nil {
		return Find{}, err
	}
	defer d.Stop()
	if _, _, err = d.Pick(id); err != nil {
		return Find{}, err
	}
	row := d.Values()
	const correct = "correct the value, or delete the row"
	x := Find{Table: t.Name, File: t.File, Row: id, Key: t.KeyOf(id, row), Column: fault.ColumnName, Fix: correct}
	const change = "change or delete one of the rows"
	named := fault.ConstraintName
	switch columns := keyColumns(fault.Detail); {
	case fault.TableName != t.Name && !t.To.Partitioned, named == "":
	case fault.Code == "23505":
		x.Column, x.Reason, x.Fix = columns, "another row has the same "+columns+" (unique index "+named+")", change
	case fault.Code == "23P01":
		x.Column, x.Reason, x.Fix = columns, "conflicts with another row (exclusion constraint "+named+")", change
	case fault.Code == "23514":
		x.Reason = "violates check constraint " + named
	case fault.Code == "23503":
		if i := slices.IndexFunc(t.To.ForeignKeys, func(f postgres.ForeignKey) bool { return f.Name == named }); i >= 0 {
			f := t.To.ForeignKeys[i]
			x.Column, x.Fix = strings.Join(f.Columns, ", "), "restore the row of "+f.Table+", or delete this one"
			x.Reason = "no row of " + f.Table + " has this " + x.Column + " (foreign key " + named + ")"
		}
	}
	if fault.Code[:2] == "54" {
		x.Column, err = longest(ctx, conn, t, row, named)
		x.Fix = "shorten the value, or delete the row; or have the DBA index a hash of it in place of the value"
	}
	x.Reason = cmp.Or(x.Reason, t.masked(row, fault.Message)+" (SQLSTATE "+fault.Code+")"+raised(fault))
	return x, err
}

// keyColumns are those of "Key (a, b)=(1, 2) already exists", in any language.
func keyColumns(detail string) string {
	before, _, _ := strings.Cut(detail, ")=(")
	_, columns, _ := strings.Cut(before, "(")
	return columns
}

// masked hides the row's secret values in a message.
func (t *Table) masked(row []sqlite.Value, message string) string {
	for i, v := range row {
		if text := string(v.Bytes); t.Columns[i].Secret && len(text) > 3 {
			message = strings.ReplaceAll(message, text, "********")
		}
	}
	return message
}

// longest is the column with the longest value of those in an index, or in any
// where the fault names none.
func longest(ctx context.Context, conn *pgconn.PgConn, t *Table, row []sqlite.Value, index string) (string, error) {
	indexed := map[string]bool{}
	rows, err := postgres.Rows(ctx, conn, `SELECT a.attname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
		JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = ANY (x.indkey)
		WHERE x.indrelid = $1::oid AND ($2 = '' OR i.relname = $2)`, t.To.OID, index)
	if err != nil {
		return "", fmt.Errorf("look for the columns of index %s: %w", index, err)
	}
	for _, r := range rows {
		indexed[string(r[0])] = true
	}
	name, most := "", -1
	for i, v := range row {
		if c := &t.Columns[i]; len(v.Bytes) > most && (indexed[c.Name] || len(indexed) == 0) {
			name, most = c.Name, len(v.Bytes)
		}
	}
	return name, nil
}
