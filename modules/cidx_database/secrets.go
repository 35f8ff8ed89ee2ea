package database

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/kept"
	"cidx-cluster/modules/internal/keys"
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
			t := &table{conn: from.files[entry.File], from: sqlite.Table{Name: entry.Name}}
			if cipher != cidx.TokenCipher || t.conn == nil {
				continue
			}
			if n, err := t.number("SELECT EXISTS (SELECT 1 FROM " + sqlite.Quote(entry.Name) + ")"); err == nil && n > 0 {
				go s.candidates[0].key()
				return
			}
		}
	}
}

// readJWT reads the secret that signs sessions. CIDX 11.79 keeps it in the
// service user's ~/.cidx-server whatever the data directory is.
func (s *secrets) readJWT(c cidx.Common, n *notes) error {
	own := filepath.Join(s.home, jwtFile)
	text, found, err := readSecret(own)
	if err != nil {
		return err
	}
	if path := kept.Keys(c, c.ServiceUser)[kept.OwnSecret]; path != "" {
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
