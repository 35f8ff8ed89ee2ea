package standin

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"cidx-cluster/e2e/standin/internal/crypt"
	"cidx-cluster/e2e/standin/internal/schema"
)

// secrets are the keys that a running server holds in memory.
type secrets struct {
	jwt string
	mfa crypt.FernetKey
}

// loadSecrets reads or invents the keys, by CIDX's rules: .jwt_secret and .encryption_key_salt are files in both modes,
// the MFA key is data/mfa_key.dat in standalone mode and a cluster_secrets row in cluster mode.
func (s *Server) loadSecrets(ctx context.Context) error {
	local, err := s.secretFile(".jwt_secret", func() string { return crypt.RandomText(48) })
	if err != nil {
		return err
	}
	s.secrets.jwt = strings.TrimSpace(local)
	if err := s.makeSalt(); err != nil {
		return err
	}
	if s.cfg.cluster {
		return s.clusterSecrets(ctx)
	}
	text, err := s.secretFile("data/mfa_key.dat", crypt.NewFernetKey)
	if err != nil {
		return err
	}
	s.secrets.mfa, err = crypt.ParseFernetKey(text)
	return err
}

// clusterSecrets inserts each key unless a row exists; the row that is there afterwards is the one used.
func (s *Server) clusterSecrets(ctx context.Context) error {
	for _, k := range []struct{ name, value string }{
		{"jwt_secret", s.secrets.jwt},
		{"mfa_encryption_key", crypt.NewFernetKey()},
		{"ssh_key_encryption_key", crypt.NewFernetKey()},
	} {
		if _, err := s.store.Insert(ctx, "cluster_secrets", schema.Row{"key_name": k.name, "key_value": k.value}); err != nil {
			return err
		}
	}
	jwt, err := s.clusterSecret(ctx, "jwt_secret")
	if err != nil {
		return err
	}
	s.secrets.jwt = jwt
	mfa, err := s.clusterSecret(ctx, "mfa_encryption_key")
	if err != nil {
		return err
	}
	s.secrets.mfa, err = crypt.ParseFernetKey(mfa)
	return err
}

func (s *Server) clusterSecret(ctx context.Context, name string) (string, error) {
	row, err := s.store.Row1(ctx, "cluster_secrets", "SELECT key_value FROM cluster_secrets WHERE key_name = ?", name)
	if err != nil {
		return "", err
	}
	return row.Text("key_value"), nil
}

// makeSalt creates a missing .encryption_key_salt: the host name in standalone mode, the JWT secret in cluster mode.
// Rows sealed under another text cannot be read from then on.
func (s *Server) makeSalt() error {
	_, err := s.secretFile(".encryption_key_salt", func() string {
		if s.cfg.cluster {
			return s.secrets.jwt
		}
		return hostName()
	})
	return err
}

// saltText is the salt as CIDX reads it: not stripped.
func (s *Server) saltText() string {
	raw, err := os.ReadFile(filepath.Join(s.home, ".encryption_key_salt"))
	if err != nil {
		return hostName()
	}
	return string(raw)
}

func (s *Server) secretFile(name string, invent func() string) (string, error) {
	path := filepath.Join(s.home, name)
	raw, err := os.ReadFile(path)
	if err == nil {
		return string(raw), nil
	}
	if !os.IsNotExist(err) {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	text := invent()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("create %s: %w", name, err)
	}
	return text, nil
}

// tokenReport counts which stored tokens the present salt opens.
type tokenReport struct {
	Total    int      `json:"total"`
	Opened   int      `json:"opened"`
	Fallback int      `json:"opened_by_host_name"`
	Sealed   []string `json:"sealed"` // keys of the rows that nothing opens
}

// checkTokens tries every encrypted token: first the salt's key, then, as CIDX does once, the host name's.
func (s *Server) checkTokens(ctx context.Context, table, key string) (tokenReport, error) {
	report := tokenReport{Sealed: []string{}}
	rows, err := s.store.Rows(ctx, table, "SELECT "+key+", encrypted_token FROM "+table+" ORDER BY "+key)
	if err != nil {
		return report, err
	}
	own, fallback := crypt.NewTokenKey(s.saltText()), crypt.NewTokenKey(hostName())
	for _, row := range rows {
		report.Total++
		if _, err := own.Open(row.Text("encrypted_token")); err == nil {
			report.Opened++
		} else if _, err := fallback.Open(row.Text("encrypted_token")); err == nil {
			report.Fallback++
		} else {
			report.Sealed = append(report.Sealed, row.Text(key))
		}
	}
	return report, nil
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}
