package database

import (
	"context"
	"fmt"
	"path/filepath"

	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/secret"
)

const createSecrets = `CREATE TABLE IF NOT EXISTS %s (key_name text PRIMARY KEY, key_value text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now())`

// secretsTable is the cluster's own table of keys; a server start makes it.
const secretsTable = "cluster_secrets"

// planSecrets compares our keys with those in the target. It returns the rows
// to write; a key in use that differs is a problem.
func (r *runner) planSecrets(ctx context.Context) (write map[string]string, err error) {
	theirs, err := r.storedSecrets(ctx)
	if err != nil {
		return nil, err
	}
	write = map[string]string{}
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
		write[name] = ours
		return "stored"
	}
	var problems problem.List
	r.secrets.report["jwt_secret"] = outcome("jwt_secret", r.secrets.jwt)
	if r.secrets.report["jwt_secret"] == "differs" {
		problems = append(problems, problem.Problem{What: "key jwt_secret differs from this server's", At: r.where + ", table " + secretsTable,
			Fix: "if no node of the cluster is in use yet, delete that row; otherwise every session of this server will end: copy the cluster's value to " + filepath.Join(r.args.Home, jwtFile)})
	}
	r.secrets.report["mfa_key"] = outcome("mfa_encryption_key", r.secrets.mfa)
	if r.secrets.report["mfa_key"] == "differs" {
		// A first start invents a key. Whether somebody uses it is in user_mfa,
		// whose rows of others have stopped us before.
		write["mfa_encryption_key"] = r.secrets.mfa
		r.secrets.report["mfa_key"] = "replaced: nobody's MFA depended on the cluster's"
	}
	return write, problems.Err()
}

// storedSecrets reads the keys that the target has.
func (r *runner) storedSecrets(ctx context.Context) (map[string]string, error) {
	if r.catalog.Tables[secretsTable] == nil {
		return map[string]string{}, nil
	}
	return r.secretsIn(ctx)
}

// secretsName spells the table of keys for SQL.
func (r *runner) secretsName() string {
	return postgres.Quote(r.catalog.Server.Schema) + "." + secretsTable
}

// secretsIn reads the keys of the table, which must exist.
func (r *runner) secretsIn(ctx context.Context) (map[string]string, error) {
	theirs := map[string]string{}
	rows, err := postgres.Rows(ctx, r.conn, "SELECT key_name, key_value FROM "+r.secretsName()+" WHERE key_name IN ('mfa_encryption_key', 'jwt_secret')")
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", secretsTable, err)
	}
	for _, row := range rows {
		theirs[string(row[0])] = string(row[1])
		secret.Keep(ctx, string(row[1]))
	}
	return theirs, nil
}

// storeSecrets writes the keys, in the transaction.
func (p *passage) storeSecrets(ctx context.Context) error {
	write, err := p.planSecrets(ctx)
	if err != nil || len(write) == 0 {
		return err
	}
	name := p.secretsName()
	if p.catalog.Tables[secretsTable] == nil {
		if err := postgres.Run(ctx, p.conn, fmt.Sprintf(createSecrets, name)); err != nil {
			return err
		}
	}
	p.secrets.stored = write
	for key, value := range write {
		_, err := postgres.Rows(ctx, p.conn, "INSERT INTO "+name+" (key_name, key_value) VALUES ($1, $2) ON CONFLICT (key_name) DO UPDATE SET key_value = excluded.key_value, updated_at = now()", key, value)
		if err != nil {
			return fmt.Errorf("store key %s: %w", key, err)
		}
	}
	return nil
}

// compareSecrets reads the stored keys back, in the transaction.
func (p *passage) compareSecrets(ctx context.Context) error {
	if len(p.secrets.stored) == 0 {
		return nil
	}
	var problems problem.List
	theirs, err := p.secretsIn(ctx)
	problems.Add(err)
	for key, value := range p.secrets.stored {
		if err == nil && theirs[key] != value {
			problems = append(problems, problem.Problem{What: "key " + key + " is not what was stored", At: p.where + ", table " + secretsTable, Fix: "nothing was committed; look for triggers and rules on the table"})
		}
	}
	return problems.Err()
}
