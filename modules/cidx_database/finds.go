package database

import (
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/convert"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/sqlite"
)

// find is one reason why a row cannot be moved.
type find struct {
	Table  string `json:"table"`
	File   string `json:"file"`
	Row    int64  `json:"row"` // SQLite's row id
	Key    string `json:"key"`
	Column string `json:"column,omitempty"`
	Reason string `json:"reason"`
	Value  string `json:"value,omitempty"` // only of kinds that hold no secrets
	Fix    string `json:"fix"`
}

// problemsFile is the complete list of finds.
const problemsFile = "problems.jsonl"

// finds are the rows that a passage could not move: the first ones for the
// reply, all of them in the list.
type finds struct {
	problems problem.List
	counts   map[string]int64
}

func (f *finds) add(l *lists, x find) error {
	if f.counts == nil {
		f.counts = map[string]int64{}
	}
	f.counts[x.Table]++
	if len(f.problems) < listed {
		at := x.File + ": " + x.Table
		if x.Column != "" {
			at += "." + x.Column
		}
		what := "row " + strings.TrimPrefix(x.Key, "row ") + ": " + x.Reason
		if x.Value != "" {
			what += ": " + x.Value
		}
		f.problems = append(f.problems, problem.Problem{What: what, At: at, Fix: x.Fix})
	}
	return l.line(problemsFile, x)
}

func (f *finds) total() int64 {
	var n int64
	for _, c := range f.counts {
		n += c
	}
	return n
}

// list are the finds for the reply, with a last line for those that are left out.
func (f *finds) list(l *lists) problem.List {
	list := f.problems
	if more := f.total() - int64(len(list)); more > 0 {
		where := problemsFile + " of the real run's report folder"
		if len(l.files) > 0 {
			where = strings.Join(l.files, ", ")
		}
		list = append(list, problem.Problem{What: fmt.Sprintf("and %s more", human.Number(more)), At: where,
			Fix: "correct the values in SQLite, or set cidx_database_quarantine to leave these rows out"})
	}
	return list
}

// misfits are the values of a row that do not fit.
func misfits(t *table, id int64, row []sqlite.Value, enc *encoder) (list []find) {
	for i := range row {
		c := &enc.columns[i]
		var fault *convert.Fault
		if c.NotNull && row[i].IsNull() {
			fault = missing
		} else if _, fault = enc.source.Append(nil, &c.Column, &row[i]); fault == nil {
			_, fault = c.Append(nil, &row[i])
		}
		if fault == nil {
			continue
		}
		x := find{Table: t.Name, File: t.File, Row: id, Key: t.keyOf(id, row), Column: c.Name, Reason: fault.Reason, Fix: fault.Fix}
		if fault.Show && !c.Secret && !textual(c.Type.Kind) {
			x.Value = excerpt(row[i].String())
		}
		list = append(list, x)
	}
	return list
}

// textual reports whether values of the kind are shown as they are.
func textual(k convert.Kind) bool {
	switch k {
	case convert.Text, convert.Varchar, convert.JSON, convert.JSONB, convert.Bytea:
		return true
	}
	return false
}

// excerpt quotes the first characters of a value.
func excerpt(text string) string {
	const most = 40
	text = strings.ToValidUTF8(text, "\ufffd")
	if runes := []rune(text); len(runes) > most {
		return fmt.Sprintf("%q…", string(runes[:most]))
	}
	return fmt.Sprintf("%q", text)
}
