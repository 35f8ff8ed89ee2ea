package keyring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/keys"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/problem"
)

// Trial is what was found out about the values that a server's keys open.
type Trial struct {
	*Ring
	accepted func(name string) bool // whether a table's or column's values may be carried over unusable
	lists    *load.Lists
	opens    map[string]int // tokens, by the candidate that opens them
	tokens   int
	mfaRows  int64
}

// Try decrypts every encrypted value of the tables. What no key opens is a problem,
// one a column, unless it may be carried over.
func (r *Ring) Try(ctx context.Context, tables []*load.Table, accepted func(string) bool, n *load.Notes) (*Trial, error) {
	x := &Trial{Ring: r, accepted: accepted, lists: &n.Lists, opens: map[string]int{}}
	var problems problem.List
	var tokens []*unopened
	for _, t := range tables {
		entry, _ := cidx.FindTable(t.Name)
		for i := range t.Columns {
			switch entry.Cipher[t.Columns[i].Source] {
			case cidx.TokenCipher:
				u, err := x.tryTokens(ctx, t, i)
				problems.Add(err)
				if u.count > 0 {
					tokens = append(tokens, u)
				}
			case cidx.MFACipher:
				problems.Add(x.tryMFA(ctx, t, i))
			}
		}
	}
	if len(tokens) > 0 && !r.hasSalt {
		problems = append(problems, x.withoutSalt(tokens))
	} else {
		for _, u := range tokens {
			problems.Add(u.problem(x.lists))
		}
	}
	x.warnOfOlder(n)
	return x, problems.Err()
}

// Report is the trial's part of the reply.
func (x *Trial) Report() map[string]any {
	return map[string]any{"tokens": map[string]any{"checked": x.tokens, "opened_by": x.opens}, "mfa_users": x.mfaRows,
		"salt": map[string]any{"present": x.hasSalt, "source": x.best().name}}
}

func (x *Trial) tryTokens(ctx context.Context, t *load.Table, i int) (*unopened, error) {
	return x.column(ctx, t, i, "no known key opens", "name former host names of this server in cidx_database_old_host_names, "+
		"or let its owner store the token again", func(value string) bool {
		x.tokens++
		for _, c := range x.candidates {
			if keys.OpensToken(value, c.key()) {
				x.opens[c.name]++
				return true
			}
		}
		return false
	})
}

func (x *Trial) tryMFA(ctx context.Context, t *load.Table, i int) error {
	key, valid := keys.ParseMFA(x.mfa)
	usable := x.mfa != "" && valid
	u, err := x.column(ctx, t, i, "the MFA key does not open", "restore the right data/mfa_key.dat, or let the user enrol again",
		func(value string) bool {
			x.mfaRows++
			return !usable || keys.OpensMFA(value, key)
		})
	if err != nil || usable || x.mfaRows == 0 {
		return errors.Join(err, u.problem(x.lists))
	}
	what := "the MFA key is missing, but there are MFA users"
	if x.mfa != "" {
		what = "not a Fernet key (32 bytes in URL-safe base64), but there are MFA users"
	}
	return problem.Problem{What: what, At: filepath.Join(x.home, mfaFile),
		Fix: "restore the file from a backup, or remove the MFA rows so that users enrol again"}
}

// best is the candidate that opens most tokens.
func (x *Trial) best() (best candidate) {
	for _, c := range x.candidates {
		if x.opens[c.name] > x.opens[best.name] {
			best = c
		}
	}
	return best
}

// SaltToCreate is the text to write to the salt file after the commit, if there is
// none, and where it comes from: every node needs the one under which the rows
// decrypt.
func (x *Trial) SaltToCreate() (text, from string) {
	if x == nil || x.hasSalt {
		return "", ""
	}
	return x.best().text, x.best().name
}

// warnOfOlder tells of tokens that the salt file does not open.
func (x *Trial) warnOfOlder(n *load.Notes) {
	opener := "salt file"
	if !x.hasSalt {
		opener = x.best().name
	}
	others := 0
	for name, n := range x.opens {
		if name != opener {
			others += n
		}
	}
	if others > 0 {
		n.Warnings.Add("%d tokens do not open with the salt file but with an older text; "+
			"CIDX re-encrypts them on this node when they are used: use each once before adding nodes", others)
	}
}

// unopened are the encrypted values of a column that no key opens.
type unopened struct {
	t      *load.Table
	column *load.Column
	reason string // e.g. "no known key opens encrypted_token of"
	fix    string
	count  int
	first  []string // names of the first rows
}

// examples is how many rows a problem names; all are in problems.jsonl.
const examples = 5

// column tries the values of a column. Of the rows whose value opens does not open,
// and that may not be carried over, the first ones are kept for the problem, and
// all go to the list.
func (x *Trial) column(ctx context.Context, t *load.Table, i int, reason, fix string, opens func(string) bool) (*unopened, error) {
	c := &t.Columns[i]
	u := &unopened{t: t, column: c, reason: reason + " " + c.Name + " of",
		fix: fix + "; add " + t.Name + "." + c.Source + " to cidx_database_accept to carry it over unusable"}
	carried := x.accepted(t.Name) || x.accepted(t.Name+"."+c.Source)
	d, err := t.Read(nil, false)
	if err != nil {
		return u, err
	}
	defer d.Stop()
	for ctx.Err() == nil && d.Next() {
		if v := d.Values()[i]; v.IsNull() || opens(string(v.Bytes)) || carried {
			continue
		}
		key := t.KeyOf(d.ID(), d.Values())
		if u.count++; len(u.first) < examples {
			u.first = append(u.first, key)
		}
		err := x.lists.Line(load.ProblemsFile, load.Find{Table: t.Name, File: t.File, Row: d.ID(), Key: key, Column: c.Name,
			Reason: u.reason + " the row", Fix: u.fix})
		if err != nil {
			return u, err
		}
	}
	return u, cmp.Or(ctx.Err(), d.Close())
}

// rows says which rows, after "of".
func (u *unopened) rows() string {
	if u.count == 1 {
		return "row " + u.first[0]
	}
	text := fmt.Sprintf("%d rows: %s", u.count, strings.Join(u.first, "; "))
	if more := u.count - len(u.first); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// problem is what is told of u, nil if there is nothing.
func (u *unopened) problem(l *load.Lists) error {
	if u.count == 0 {
		return nil
	}
	all := ""
	if u.count > len(u.first) {
		all = l.All()
	}
	return problem.Problem{What: u.reason + " " + u.rows() + all, At: u.t.At(), Fix: u.fix}
}

// withoutSalt is the problem of tokens that would need the salt file.
func (x *Trial) withoutSalt(list []*unopened) problem.Problem {
	var parts []string
	for _, u := range list {
		parts = append(parts, fmt.Sprintf("%s of %s of %s", u.column.Name, u.t.At(), u.rows()))
	}
	what := "the salt file is missing, and no other known key opens " + strings.Join(parts, ", ") + x.lists.All()
	return problem.Problem{What: what, At: filepath.Join(x.home, SaltFile),
		Fix: "restore the file from a backup; if this server never had one, name its former host names in " +
			"cidx_database_old_host_names; or let the owners store the tokens again"}
}
