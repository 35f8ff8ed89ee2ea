package database

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/keys"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/secret"
	"cidx-cluster/modules/internal/sqlite"
)

// secrets are the keys of a standalone server, and what was found out about the
// values that they open.
type secrets struct {
	mfa, jwt   string // stripped, as CIDX reads them; "" if the file is absent
	salt       string // as it is: CIDX does not strip it
	hasSalt    bool
	candidates []candidate // for the tokens' salt
	opens      map[string]int
	tokens     int
	createSalt string // text to write to the salt file after the commit
	mfaRows    int64
	stored     map[string]string // keys that this transaction has written
	report     map[string]any
}

// candidate is a text under which tokens may be encrypted.
type candidate struct {
	name string // where it comes from, e.g. "salt file"
	text string
	key  func() []byte
}

func (s *secrets) candidate(name, text string) {
	for _, c := range s.candidates {
		if c.text == text {
			return
		}
	}
	s.candidates = append(s.candidates, candidate{name, text, sync.OnceValue(func() []byte { return keys.TokenKey(text) })})
}

const (
	saltFile = ".encryption_key_salt"
	jwtFile  = ".jwt_secret"
	mfaFile  = "data/mfa_key.dat"
)

// openSecrets reads the key files.
func (r *runner) openSecrets(ctx context.Context) error {
	s := &secrets{opens: map[string]int{}, report: map[string]any{}}
	r.secrets = s
	r.out.Data["secrets"] = s.report
	var problems problem.List
	var err error
	s.salt, s.hasSalt, err = readSecret(filepath.Join(r.args.Home, saltFile))
	problems.Add(err)
	problems.Add(r.readJWT(s))
	mfa, _, err := readSecret(filepath.Join(r.args.Home, mfaFile))
	problems.Add(err)
	s.mfa = strings.TrimSpace(mfa)
	secret.Keep(ctx, s.mfa, s.jwt)
	if s.salt != hostName() {
		secret.Keep(ctx, s.salt)
	}
	if err := problems.Err(); err != nil {
		return err
	}
	if s.hasSalt {
		s.candidate("salt file", s.salt)
	}
	if s.jwt != "" {
		s.candidate("JWT secret", s.jwt)
	}
	s.candidate("host name", hostName())
	for _, name := range r.args.OldHostNames {
		s.candidate("old host name", name)
	}
	return nil
}

// warmKeys starts deriving the first key, which takes a while, if there are
// tokens to try it on.
func (r *runner) warmKeys() {
	for _, entry := range cidx.Catalogue {
		for _, cipher := range entry.Cipher {
			if cipher != cidx.TokenCipher {
				continue
			}
			t := &table{conn: r.source.files[entry.File], from: sqlite.Table{Name: entry.Name}}
			if t.conn == nil {
				continue
			}
			if n, err := t.number("SELECT EXISTS (SELECT 1 FROM " + sqlite.Quote(entry.Name) + ")"); err == nil && n > 0 {
				go r.secrets.candidates[0].key()
				return
			}
		}
	}
}

// readJWT reads the secret that signs sessions. CIDX 11.79 keeps it in the
// service user's ~/.cidx-server whatever the data directory is.
func (r *runner) readJWT(s *secrets) error {
	text, found, err := readSecret(filepath.Join(r.args.Home, jwtFile))
	if err != nil {
		return err
	}
	if own := ownersHome(r.args.Home); own != "" && own != r.args.Home {
		other, ok, err := readSecret(filepath.Join(own, jwtFile))
		if err == nil && ok {
			if found && strings.TrimSpace(other) != strings.TrimSpace(text) {
				r.warnings.add("%s and %s differ; CIDX signs with the first, which is carried over", filepath.Join(own, jwtFile), filepath.Join(r.args.Home, jwtFile))
			}
			text, found = other, true
		}
	}
	s.jwt = strings.TrimSpace(text)
	if !found || s.jwt == "" {
		r.warnings.add("no JWT secret (%s): all sessions will end", jwtFile)
	}
	return nil
}

// ownersHome is ~/.cidx-server of the user that owns the home, or "".
func ownersHome(home string) string {
	info, err := os.Stat(home)
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid == 0 {
		return "" // a service does not run as root
	}
	owner, err := user.LookupId(strconv.Itoa(int(stat.Uid)))
	if err != nil {
		return ""
	}
	return filepath.Join(owner.HomeDir, ".cidx-server")
}

func readSecret(path string) (text string, found bool, err error) {
	raw, err := os.ReadFile(path)
	switch {
	case err == nil:
		return string(raw), true, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", false, nil
	}
	return "", false, problem.Problem{What: err.Error(), At: path, Fix: "make the file readable for the user that runs the migration"}
}

// tryAll decrypts every encrypted value of the source. What no key opens is a
// problem, one a column.
func (r *runner) tryAll(ctx context.Context) error {
	s := r.secrets
	var problems problem.List
	var tokens []*unopened
	for _, t := range r.plan.tables {
		for i := range t.columns {
			switch t.Cipher[t.columns[i].Source] {
			case cidx.TokenCipher:
				u, err := r.tryTokens(ctx, t, i)
				problems.Add(err)
				if u != nil && u.count > 0 {
					tokens = append(tokens, u)
				}
			case cidx.MFACipher:
				problems.Add(r.tryMFA(ctx, t, i))
			}
		}
	}
	if len(tokens) > 0 && !s.hasSalt {
		problems.Add(r.withoutSalt(tokens))
	} else {
		for _, u := range tokens {
			problems.Add(r.problem(u))
		}
	}
	s.report["tokens"] = map[string]any{"checked": s.tokens, "opened_by": s.opens}
	s.report["mfa_users"] = s.mfaRows
	r.settleSalt()
	return problems.Err()
}

// eachValue visits column i of every row that has it, with the row's id and name.
func (r *runner) eachValue(ctx context.Context, t *table, i int, visit func(value string, id int64, key string) error) error {
	if t.conn == nil {
		return nil
	}
	d, err := r.read(t, false)
	if err != nil {
		return err
	}
	for d.next() {
		err := ctx.Err()
		if v := d.values()[i]; err == nil && !v.IsNull() {
			err = visit(string(v.Bytes), d.id(), t.keyOf(d.id(), d.values()))
		}
		if err != nil {
			d.rows.Close()
			return err
		}
	}
	return d.close()
}

// carried reports whether a column's values may be carried over unusable.
func (r *runner) carried(t *table, i int) bool {
	return r.accepted(t.Name) || r.accepted(t.Name+"."+t.columns[i].Source)
}

// carry is how an operator allows that.
func carry(t *table, i int) string {
	return "; add " + t.Name + "." + t.columns[i].Source + " to cidx_database_accept to carry it over unusable"
}

func (r *runner) tryTokens(ctx context.Context, t *table, i int) (*unopened, error) {
	s, c := r.secrets, &t.columns[i]
	u := &unopened{t: t, column: c, reason: "no known key opens " + c.Name + " of",
		fix: "name former host names of this server in cidx_database_old_host_names, or let its owner store the token again" + carry(t, i)}
	err := r.eachValue(ctx, t, i, func(value string, id int64, key string) error {
		s.tokens++
		for _, c := range s.candidates {
			if keys.OpensToken(value, c.key()) {
				s.opens[c.name]++
				return nil
			}
		}
		if r.carried(t, i) {
			return nil
		}
		return r.finds.note(u, id, key)
	})
	return u, err
}

func (r *runner) tryMFA(ctx context.Context, t *table, i int) error {
	s, c := r.secrets, &t.columns[i]
	key, valid := keys.ParseMFA(s.mfa)
	u := &unopened{t: t, column: c, reason: "the MFA key does not open " + c.Name + " of",
		fix: "restore the right data/mfa_key.dat, or let the user enrol again" + carry(t, i)}
	usable := s.mfa != "" && valid
	err := r.eachValue(ctx, t, i, func(value string, id int64, name string) error {
		s.mfaRows++
		if !usable || keys.OpensMFA(value, key) || r.carried(t, i) {
			return nil
		}
		return r.finds.note(u, id, name)
	})
	if err != nil || usable || s.mfaRows == 0 {
		return errors.Join(err, r.problem(u))
	}
	what := "the MFA key is missing, but there are MFA users"
	if s.mfa != "" {
		what = "not a Fernet key (32 bytes in URL-safe base64), but there are MFA users"
	}
	return problem.Problem{What: what, At: filepath.Join(r.args.Home, mfaFile), Fix: "restore the file from a backup, or remove the MFA rows so that users enrol again"}
}

// settleSalt decides what becomes of the salt file. Every node needs the same
// one, with the text under which the rows decrypt.
func (r *runner) settleSalt() {
	s := r.secrets
	best := ""
	for _, c := range s.candidates {
		if s.opens[c.name] > s.opens[best] {
			best = c.name
			if !s.hasSalt {
				s.createSalt = c.text
			}
		}
	}
	s.report["salt"] = map[string]any{"present": s.hasSalt, "source": best}
	others := 0
	for name, n := range s.opens {
		if s.hasSalt && name != "salt file" || !s.hasSalt && name != best {
			others += n
		}
	}
	if others > 0 {
		r.warnings.add("%d tokens do not open with the salt file but with an older text; CIDX re-encrypts them on this node when they are used: use each once before adding nodes", others)
	}
	if s.createSalt != "" && r.mode.Check {
		r.warnings.add("%s is absent; it will be created with the text under which the tokens decrypt (%s)", saltFile, best)
	}
}
