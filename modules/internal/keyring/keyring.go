// Package keyring holds the keys of a standalone server (CIDX 11.79): it tries them
// on every encrypted value of its databases, and carries them over into the
// cluster's table of keys, in the transaction that carries the rows.
//
// No value of a key is ever told.
package keyring

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/kept"
	"cidx-cluster/modules/internal/keys"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/regular"
	"cidx-cluster/modules/internal/secret"
)

// Ring are the keys of a standalone server.
type Ring struct {
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

func (r *Ring) candidate(name, text string) {
	for _, c := range r.candidates {
		if c.text == text {
			return
		}
	}
	r.candidates = append(r.candidates, candidate{name, text, sync.OnceValue(func() []byte { return keys.TokenKey(text) })})
}

const (
	// SaltFile is the file of the text that the key of stored tokens is made from.
	SaltFile = kept.Salt
	jwtFile  = ".jwt_secret"
	mfaFile  = "data/mfa_key.dat"
)

// Open reads the key files. Tokens may also be encrypted under the host's name, or
// under a former one.
func Open(ctx context.Context, c home.Common, host string, former []string, n *load.Notes) (*Ring, error) {
	r := &Ring{home: c.Home}
	var problems problem.List
	var err error
	r.salt, r.hasSalt, err = read(filepath.Join(r.home, SaltFile))
	problems.Add(err)
	problems.Add(r.readJWT(c, n))
	mfa, _, err := read(filepath.Join(r.home, mfaFile))
	problems.Add(err)
	r.mfa = strings.TrimSpace(mfa)
	secret.Keep(ctx, r.mfa, r.jwt)
	if r.salt != host {
		secret.Keep(ctx, r.salt)
	}
	if r.hasSalt {
		r.candidate("salt file", r.salt)
	}
	if r.jwt != "" {
		r.candidate("JWT secret", r.jwt)
	}
	r.candidate("host name", host)
	for _, name := range former {
		r.candidate("old host name", name)
	}
	go r.candidates[0].key() // deriving it takes a while
	return r, problems.Err()
}

// readJWT reads the secret that signs sessions. CIDX 11.79 keeps it in the
// service user's ~/.cidx-server whatever the data directory is.
func (r *Ring) readJWT(c home.Common, n *load.Notes) error {
	own := filepath.Join(r.home, jwtFile)
	text, found, err := read(own)
	if err != nil {
		return err
	}
	if path := kept.Keys(c)[kept.OwnSecret]; path != "" {
		if other, ok, err := read(path); err == nil && ok {
			if found && strings.TrimSpace(other) != strings.TrimSpace(text) {
				n.Warnings.Add("%s and %s differ; CIDX signs with the first, which is carried over", path, own)
			}
			text = other
		}
	}
	if r.jwt = strings.TrimSpace(text); r.jwt == "" {
		n.Warnings.Add("no JWT secret (%s): all sessions will end", jwtFile)
	}
	return nil
}

func read(path string) (text string, found bool, err error) {
	raw, err := regular.Read(path)
	switch {
	case err == nil:
		return string(raw), true, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", false, nil
	}
	return "", false, problem.Problem{What: err.Error(), At: path, Fix: "make the file readable for the user that runs the migration"}
}
