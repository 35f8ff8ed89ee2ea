package keyring

import (
	"context"
	"fmt"
	"path/filepath"

	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/secret"
)

const createTable = `CREATE TABLE IF NOT EXISTS %s (key_name text PRIMARY KEY, key_value text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now())`

// table is the cluster's own table of keys; a server start makes it.
const table = "cluster_secrets"

// Stored are the server's keys in the target, as one transaction puts them there.
type Stored struct {
	ring   *Ring
	write  map[string]string // what is put there
	Report map[string]any    // what became of each, for the reply
}

// Stored is for one transaction.
func (r *Ring) Stored() *Stored { return &Stored{ring: r, write: map[string]string{}} }

// Store writes the keys. A key in use that differs is a problem.
func (s *Stored) Store(p *load.Passage, ctx context.Context) error {
	theirs := map[string]string{}
	var err error
	if p.Catalog.Tables[table] != nil {
		if theirs, err = readStored(ctx, p.Session); err != nil {
			return err
		}
	}
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
		s.write[name] = ours
		return "stored"
	}
	jwt, mfa := outcome("jwt_secret", s.ring.jwt), outcome("mfa_encryption_key", s.ring.mfa)
	if mfa == "differs" {
		// A first start invents a key. Whether somebody uses it is in user_mfa,
		// whose rows of others have stopped us before.
		s.write["mfa_encryption_key"] = s.ring.mfa
		mfa = "replaced: nobody's MFA depended on the cluster's"
	}
	s.Report = map[string]any{"jwt_secret": jwt, "mfa_key": mfa}
	if jwt == "differs" {
		return problem.Problem{What: "key jwt_secret differs from this server's", At: p.Where + ", table " + table,
			Fix: "if no node of the cluster is in use yet, delete that row; otherwise every session of this server will end: " +
				"copy the cluster's value to " + filepath.Join(s.ring.home, jwtFile)}
	}
	name := p.Table(table)
	if p.Catalog.Tables[table] == nil && len(s.write) > 0 {
		if err := postgres.Run(ctx, p.Conn, fmt.Sprintf(createTable, name)); err != nil {
			return err
		}
	}
	for key, value := range s.write {
		_, err := postgres.Rows(ctx, p.Conn, "INSERT INTO "+name+" (key_name, key_value) VALUES ($1, $2) "+
			"ON CONFLICT (key_name) DO UPDATE SET key_value = excluded.key_value, updated_at = now()", key, value)
		if err != nil {
			return fmt.Errorf("store key %s: %w", key, err)
		}
	}
	return nil
}

// readStored reads the keys of the table, which must exist.
func readStored(ctx context.Context, s *load.Session) (map[string]string, error) {
	theirs := map[string]string{}
	rows, err := postgres.Rows(ctx, s.Conn, "SELECT key_name, key_value FROM "+s.Table(table)+
		" WHERE key_name IN ('mfa_encryption_key', 'jwt_secret')")
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", table, err)
	}
	for _, row := range rows {
		theirs[string(row[0])] = string(row[1])
		secret.Keep(ctx, string(row[1]))
	}
	return theirs, nil
}

// Prove reads the stored keys back.
func (s *Stored) Prove(p *load.Passage, ctx context.Context) error {
	if len(s.write) == 0 {
		return nil
	}
	theirs, err := readStored(ctx, p.Session)
	if err != nil {
		return err
	}
	var problems problem.List
	for key, value := range s.write {
		if theirs[key] != value {
			problems = append(problems, problem.Problem{What: "key " + key + " is not what was stored",
				At: p.Where + ", table " + table, Fix: "nothing was committed; look for triggers and rules on the table"})
		}
	}
	return problems.Err()
}
