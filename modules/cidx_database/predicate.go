package database

import (
	"strings"

	"cidx-cluster/modules/internal/sqlite"
)

// translate turns a condition as PostgreSQL prints it (a check constraint, the
// predicate of a partial index) into SQLite's SQL. Columns maps PostgreSQL's
// column names to SQLite's expressions. It knows comparisons, lists, IS NULL,
// AND, OR and NOT; ok is false for anything else.
func translate(condition string, columns map[string]string) (sql string, ok bool) {
	p := &predicate{rest: condition, columns: columns}
	for {
		p.blank()
		if p.rest == "" {
			return strings.TrimSpace(p.out.String()), p.depth == 0 && p.out.Len() > 0
		}
		if !p.token() {
			return "", false
		}
	}
}

type predicate struct {
	rest    string
	columns map[string]string
	out     strings.Builder
	depth   int
}

func (p *predicate) blank() { p.rest = strings.TrimLeft(p.rest, " \t\n") }

func (p *predicate) write(s string) bool {
	p.out.WriteString(" " + s)
	return true
}

// operators that mean the same on both sides.
var operators = []string{"<>", "<=", ">=", "=", "<", ">", ","}

// words that mean the same on both sides.
var words = map[string]bool{"AND": true, "OR": true, "NOT": true, "IS": true, "NULL": true, "TRUE": true, "FALSE": true}

func (p *predicate) token() bool {
	switch c := p.rest[0]; {
	case strings.HasPrefix(p.rest, "::"):
		return p.cast()
	case c == '(':
		p.depth++
		p.rest = p.rest[1:]
		return p.write("(")
	case c == ')':
		p.depth--
		p.rest = p.rest[1:]
		return p.depth >= 0 && p.write(")")
	case c == ']':
		p.rest = p.rest[1:]
		return true // the list's own parenthesis closes it
	case c == '\'':
		return p.literal()
	case c >= '0' && c <= '9' || c == '-':
		return p.number()
	}
	for _, sign := range operators {
		if !strings.HasPrefix(p.rest, sign) {
			continue
		}
		p.rest = p.rest[len(sign):]
		if list, ok := p.list(sign); ok {
			return p.write(list)
		}
		return p.write(sign)
	}
	return p.word()
}

// list recognises "= ANY (ARRAY[" and "<> ALL (ARRAY[".
func (p *predicate) list(sign string) (string, bool) {
	quantifier, in := "ANY", "IN"
	if sign == "<>" {
		quantifier, in = "ALL", "NOT IN"
	} else if sign != "=" {
		return "", false
	}
	rest := strings.TrimLeft(p.rest, " ")
	rest, ok := strings.CutPrefix(rest, quantifier)
	if !ok {
		return "", false
	}
	rest = strings.TrimLeft(rest, " ")
	opened := 0
	for strings.HasPrefix(rest, "(") {
		opened, rest = opened+1, strings.TrimLeft(rest[1:], " ")
	}
	rest, ok = strings.CutPrefix(rest, "ARRAY[")
	if !ok || opened == 0 {
		return "", false
	}
	// Inner parentheses only group a cast: "(ARRAY['a'])::text[]".
	end := strings.IndexByte(rest, ']')
	if end < 0 {
		return "", false
	}
	tail := rest[end+1:]
	for ; opened > 1; opened-- {
		tail, ok = strings.CutPrefix(strings.TrimLeft(tail, " "), ")")
		if !ok {
			return "", false
		}
	}
	p.rest = rest[:end+1] + tail
	p.depth++
	return in + " (", true
}

// cast drops ::text, ::character varying(16), ::text[] and the like.
func (p *predicate) cast() bool {
	p.rest = p.rest[2:]
	for _, name := range []string{"character varying", "double precision", "timestamp with time zone", "timestamp without time zone", "text", "integer", "bigint", "smallint", "boolean", "real"} {
		rest, ok := strings.CutPrefix(p.rest, name)
		if !ok {
			continue
		}
		if strings.HasPrefix(rest, "(") {
			end := strings.IndexByte(rest, ')')
			if end < 0 {
				return false
			}
			rest = rest[end+1:]
		}
		p.rest = strings.TrimPrefix(rest, "[]")
		return true
	}
	return false
}

func (p *predicate) literal() bool {
	for i := 1; i < len(p.rest); i++ {
		if p.rest[i] != '\'' {
			continue
		}
		if i+1 < len(p.rest) && p.rest[i+1] == '\'' {
			i++
			continue
		}
		text := p.rest[:i+1]
		p.rest = p.rest[i+1:]
		return p.write(text)
	}
	return false
}

func (p *predicate) number() bool {
	n := 1
	for n < len(p.rest) && (p.rest[n] >= '0' && p.rest[n] <= '9' || p.rest[n] == '.') {
		n++
	}
	text := p.rest[:n]
	p.rest = p.rest[n:]
	return text != "-" && p.write(text)
}

// word is a keyword or the name of a column.
func (p *predicate) word() bool {
	name := ""
	if p.rest[0] == '"' {
		end := strings.IndexByte(p.rest[1:], '"')
		if end < 0 {
			return false
		}
		name, p.rest = p.rest[1:end+1], p.rest[end+2:]
	} else {
		n := 0
		for n < len(p.rest) && (p.rest[n] == '_' || p.rest[n] >= 'a' && p.rest[n] <= 'z' || p.rest[n] >= 'A' && p.rest[n] <= 'Z' || p.rest[n] >= '0' && p.rest[n] <= '9') {
			n++
		}
		name, p.rest = p.rest[:n], p.rest[n:]
		if upper := strings.ToUpper(name); words[upper] {
			return p.write(upper)
		}
	}
	expression, known := p.columns[name]
	return known && p.write(expression)
}

// expressions maps the target's column names to SQLite's values as they are to
// arrive.
func (t *table) expressions() map[string]string {
	m := map[string]string{}
	for _, c := range t.columns {
		name := sqlite.Quote(c.Source)
		m[c.Name] = name
		if a := t.Active; a != nil && c.Source == a.Status {
			quoted := make([]string, len(a.Active))
			for i, v := range a.Active {
				quoted[i] = "'" + strings.ReplaceAll(v, "'", "''") + "'"
			}
			m[c.Name] = "(CASE WHEN " + name + " IN (" + strings.Join(quoted, ", ") + ") THEN '" + a.Failed + "' ELSE " + name + " END)"
		}
	}
	return m
}
