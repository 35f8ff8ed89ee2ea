package database

import (
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

// trial is what was found out about the values that a server's keys open.
type trial struct {
	*secrets
	set     *settings
	lists   *lists
	opens   map[string]int // tokens, by the candidate that opens them
	tokens  int
	mfaRows int64
}

// try decrypts every encrypted value of the source. What no key opens is a
// problem, one a column.
func (s *secrets) try(ctx context.Context, set *settings, n *notes, p *plan) (*trial, error) {
	x := &trial{secrets: s, set: set, lists: &n.lists, opens: map[string]int{}}
	var problems problem.List
	var tokens []*unopened
	for _, t := range p.tables {
		for i := range t.Columns {
			switch t.Cipher[t.Columns[i].Source] {
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
	if len(tokens) > 0 && !s.hasSalt {
		problems = append(problems, x.withoutSalt(tokens))
	} else {
		for _, u := range tokens {
			problems.Add(u.problem(x.lists))
		}
	}
	x.warn(n)
	return x, problems.Err()
}

// report is the trial's part of the reply.
func (x *trial) report() map[string]any {
	return map[string]any{"tokens": map[string]any{"checked": x.tokens, "opened_by": x.opens}, "mfa_users": x.mfaRows,
		"salt": map[string]any{"present": x.hasSalt, "source": x.best().name}}
}

// eachValue visits column i of every row that has it, with the row's id and name.
func (t *table) eachValue(ctx context.Context, i int, visit func(value string, id int64, key string) error) error {
	if t.Conn == nil {
		return nil
	}
	d, err := t.Read(nil, false)
	if err != nil {
		return err
	}
	for d.Next() {
		err := ctx.Err()
		if v := d.Values()[i]; err == nil && !v.IsNull() {
			err = visit(string(v.Bytes), d.ID(), t.KeyOf(d.ID(), d.Values()))
		}
		if err != nil {
			d.Stop()
			return err
		}
	}
	return d.Close()
}

// carried reports whether a column's values may be carried over unusable.
func (x *trial) carried(t *table, i int) bool {
	return x.set.accepted(t.Name) || x.set.accepted(t.Name+"."+t.Columns[i].Source)
}

// carry is how an operator allows that.
func carry(t *table, i int) string {
	return "; add " + t.Name + "." + t.Columns[i].Source + " to cidx_database_accept to carry it over unusable"
}

func (x *trial) tryTokens(ctx context.Context, t *table, i int) (*unopened, error) {
	c := &t.Columns[i]
	u := &unopened{t: t, column: c, reason: "no known key opens " + c.Name + " of",
		fix: "name former host names of this server in cidx_database_old_host_names, or let its owner store the token again" + carry(t, i)}
	err := t.eachValue(ctx, i, func(value string, id int64, key string) error {
		x.tokens++
		for _, c := range x.candidates {
			if keys.OpensToken(value, c.key()) {
				x.opens[c.name]++
				return nil
			}
		}
		if x.carried(t, i) {
			return nil
		}
		return u.note(x.lists, id, key)
	})
	return u, err
}

func (x *trial) tryMFA(ctx context.Context, t *table, i int) error {
	c := &t.Columns[i]
	key, valid := keys.ParseMFA(x.mfa)
	u := &unopened{t: t, column: c, reason: "the MFA key does not open " + c.Name + " of",
		fix: "restore the right data/mfa_key.dat, or let the user enrol again" + carry(t, i)}
	usable := x.mfa != "" && valid
	err := t.eachValue(ctx, i, func(value string, id int64, name string) error {
		x.mfaRows++
		if !usable || keys.OpensMFA(value, key) || x.carried(t, i) {
			return nil
		}
		return u.note(x.lists, id, name)
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
func (x *trial) best() (best candidate) {
	for _, c := range x.candidates {
		if x.opens[c.name] > x.opens[best.name] {
			best = c
		}
	}
	return best
}

// saltToCreate is the text to write to the salt file after the commit, if there is
// none: every node needs the one under which the rows decrypt.
func (x *trial) saltToCreate() string {
	if x == nil || x.hasSalt {
		return ""
	}
	return x.best().text
}

// warn tells what becomes of the salt file.
func (x *trial) warn(n *notes) {
	best := x.best()
	others := 0
	for name, n := range x.opens {
		if x.hasSalt && name != "salt file" || !x.hasSalt && name != best.name {
			others += n
		}
	}
	if others > 0 {
		n.warnings.add("%d tokens do not open with the salt file but with an older text; "+
			"CIDX re-encrypts them on this node when they are used: use each once before adding nodes", others)
	}
	if x.saltToCreate() != "" && x.set.mode.Check {
		n.warnings.add("%s is absent; it will be created with the text under which the tokens decrypt (%s)", saltFile, best.name)
	}
}

// unopened are the encrypted values of a column that no key opens.
type unopened struct {
	t      *table
	column *load.Column
	reason string // e.g. "no known key opens encrypted_token of"
	fix    string
	count  int
	first  []string // names of the first rows
}

// examples is how many rows a problem names; all are in problems.jsonl.
const examples = 5

// note keeps a row: the first ones for the problem, all in the list.
func (u *unopened) note(l *lists, id int64, key string) error {
	if u.count++; len(u.first) < examples {
		u.first = append(u.first, key)
	}
	return l.line(problemsFile, find{Table: u.t.Name, File: u.t.File, Row: id, Key: key, Column: u.column.Name,
		Reason: u.reason + " the row", Fix: u.fix})
}

// rows says which rows, after "of".
func (u *unopened) rows() string {
	switch {
	case u.count == 1:
		return "row " + u.first[0]
	case u.count <= len(u.first):
		return fmt.Sprintf("%d rows: %s", u.count, strings.Join(u.first, "; "))
	}
	return fmt.Sprintf("%d rows: %s; and %d more", u.count, strings.Join(u.first, "; "), u.count-len(u.first))
}

// problem is what is told of u, nil if there is nothing.
func (u *unopened) problem(l *lists) error {
	if u.count == 0 {
		return nil
	}
	p := problem.Problem{What: u.reason + " " + u.rows(), At: u.t.At(), Fix: u.fix}
	if u.count > len(u.first) {
		p.What += l.all()
	}
	return p
}

// withoutSalt is the problem of tokens that would need the salt file.
func (x *trial) withoutSalt(list []*unopened) problem.Problem {
	var parts []string
	for _, u := range list {
		parts = append(parts, fmt.Sprintf("%s of %s of %s", u.column.Name, u.t.At(), u.rows()))
	}
	what := "the salt file is missing, and no other known key opens " + strings.Join(parts, ", ") + x.lists.all()
	return problem.Problem{What: what, At: filepath.Join(x.home, saltFile),
		Fix: "restore the file from a backup; if this server never had one, name its former host names in " +
			"cidx_database_old_host_names; or let the owners store the tokens again"}
}
