package database

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/kept"
	"cidx-cluster/modules/internal/keys"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/secret"
	"cidx-cluster/modules/internal/sqlite"
)

// secrets are the keys of a standalone server.
type secrets struct {
	home       string
	mfa, jwt   string // stripped, as CIDX reads them; "" if the file is absent
	salt       string // as it is: CIDX does not strip it
	hasSalt    bool
	candidates []candidate // for the tokens' salt
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
	saltFile = kept.Salt
	jwtFile  = ".jwt_secret"
	mfaFile  = "data/mfa_key.dat"
)

// openSecrets reads the key files.
func openSecrets(ctx context.Context, set *settings, n *notes) (*secrets, error) {
	s := &secrets{home: set.args.Home}
	var problems problem.List
	var err error
	s.salt, s.hasSalt, err = readSecret(filepath.Join(s.home, saltFile))
	problems.Add(err)
	problems.Add(s.readJWT(set.args.Common, n))
	mfa, _, err := readSecret(filepath.Join(s.home, mfaFile))
	problems.Add(err)
	s.mfa = strings.TrimSpace(mfa)
	secret.Keep(ctx, s.mfa, s.jwt)
	if s.salt != hostName() {
		secret.Keep(ctx, s.salt)
	}
	if s.hasSalt {
		s.candidate("salt file", s.salt)
	}
	if s.jwt != "" {
		s.candidate("JWT secret", s.jwt)
	}
	s.candidate("host name", hostName())
	for _, name := range set.args.OldHostNames {
		s.candidate("old host name", name)
	}
	return s, problems.Err()
}

// begin starts deriving the first key, which takes a while, if there are tokens
// to try it on.
func (s *secrets) begin(from *source) {
	for _, entry := range cidx.Catalogue {
		for _, cipher := range entry.Cipher {
			t := from.table(entry, sqlite.Table{Name: entry.Name})
			if cipher != cidx.TokenCipher || t.Conn == nil {
				continue
			}
			if n, err := t.Number("SELECT EXISTS (SELECT 1 FROM " + sqlite.Quote(entry.Name) + ")"); err == nil && n > 0 {
				go s.candidates[0].key()
				return
			}
		}
	}
}

// readJWT reads the secret that signs sessions. CIDX 11.79 keeps it in the
// service user's ~/.cidx-server whatever the data directory is.
func (s *secrets) readJWT(c home.Common, n *notes) error {
	own := filepath.Join(s.home, jwtFile)
	text, found, err := readSecret(own)
	if err != nil {
		return err
	}
	if path := kept.Keys(c)[kept.OwnSecret]; path != "" {
		if other, ok, err := readSecret(path); err == nil && ok {
			if found && strings.TrimSpace(other) != strings.TrimSpace(text) {
				n.warnings.add("%s and %s differ; CIDX signs with the first, which is carried over", path, own)
			}
			text = other
		}
	}
	if s.jwt = strings.TrimSpace(text); s.jwt == "" {
		n.warnings.add("no JWT secret (%s): all sessions will end", jwtFile)
	}
	return nil
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

const createSecrets = `CREATE TABLE IF NOT EXISTS %s (key_name text PRIMARY KEY, key_value text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now())`

// secretsTable is the cluster's own table of keys; a server start makes it.
const secretsTable = "cluster_secrets"

// storedKeys are the server's keys in the target.
type storedKeys struct {
	write  map[string]string // what the transaction puts there
	report map[string]any    // what became of each, for the reply
}

// storeSecrets writes the keys, in the transaction. A key in use that differs is a
// problem.
func (p *passage) storeSecrets(ctx context.Context) error {
	theirs := map[string]string{}
	var err error
	if p.catalog.Tables[secretsTable] != nil {
		if theirs, err = p.readSecrets(ctx); err != nil {
			return err
		}
	}
	p.stored = storedKeys{write: map[string]string{}}
	outcome := func(name, ours string) string {
		value, present := theirs[name]
		switch {
		case ours == "":
			return "no local key"
		case value == ours:
			return "already there"
		case present:
			return "differs"
		}
		p.stored.write[name] = ours
		return "stored"
	}
	jwt, mfa := outcome("jwt_secret", p.secrets.jwt), outcome("mfa_encryption_key", p.secrets.mfa)
	if mfa == "differs" {
		// A first start invents a key. Whether somebody uses it is in user_mfa,
		// whose rows of others have stopped us before.
		p.stored.write["mfa_encryption_key"] = p.secrets.mfa
		mfa = "replaced: nobody's MFA depended on the cluster's"
	}
	p.stored.report = map[string]any{"jwt_secret": jwt, "mfa_key": mfa}
	if jwt == "differs" {
		return problem.Problem{What: "key jwt_secret differs from this server's", At: p.where + ", table " + secretsTable,
			Fix: "if no node of the cluster is in use yet, delete that row; otherwise every session of this server will end: " +
				"copy the cluster's value to " + filepath.Join(p.args.Home, jwtFile)}
	}
	return p.session.writeSecrets(ctx, p.stored.write)
}

func (s *session) writeSecrets(ctx context.Context, write map[string]string) error {
	name := s.table(secretsTable)
	if s.catalog.Tables[secretsTable] == nil && len(write) > 0 {
		if err := postgres.Run(ctx, s.conn, fmt.Sprintf(createSecrets, name)); err != nil {
			return err
		}
	}
	for key, value := range write {
		_, err := postgres.Rows(ctx, s.conn, "INSERT INTO "+name+" (key_name, key_value) VALUES ($1, $2) "+
			"ON CONFLICT (key_name) DO UPDATE SET key_value = excluded.key_value, updated_at = now()", key, value)
		if err != nil {
			return fmt.Errorf("store key %s: %w", key, err)
		}
	}
	return nil
}

// readSecrets reads the keys of the table, which must exist.
func (s *session) readSecrets(ctx context.Context) (map[string]string, error) {
	theirs := map[string]string{}
	rows, err := postgres.Rows(ctx, s.conn, "SELECT key_name, key_value FROM "+s.table(secretsTable)+
		" WHERE key_name IN ('mfa_encryption_key', 'jwt_secret')")
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", secretsTable, err)
	}
	for _, row := range rows {
		theirs[string(row[0])] = string(row[1])
		secret.Keep(ctx, string(row[1]))
	}
	return theirs, nil
}

// compareSecrets reads the stored keys back, in the transaction.
func (p *passage) compareSecrets(ctx context.Context) error {
	if len(p.stored.write) == 0 {
		return nil
	}
	theirs, err := p.readSecrets(ctx)
	if err != nil {
		return err
	}
	var problems problem.List
	for key, value := range p.stored.write {
		if theirs[key] != value {
			problems = append(problems, problem.Problem{What: "key " + key + " is not what was stored",
				At: p.where + ", table " + secretsTable, Fix: "nothing was committed; look for triggers and rules on the table"})
		}
	}
	return problems.Err()
}
