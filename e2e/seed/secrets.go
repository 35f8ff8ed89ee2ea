package seed

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
)

// secrets are the keys of one home and everything in it that must not leak.
type secrets struct {
	jwt, salt string
	mfa       []byte
	tokens    []string // clear text of encrypted tokens, in order of use
}

func newSecrets(o Options) secrets {
	rng := source(o.Random, "secrets")
	s := secrets{jwt: "jwt-" + randomHex(rng, 48), salt: "cidx-host-" + randomHex(rng, 4) + ".example.org\n", mfa: randomBytes(rng, 32)}
	for i := range 2 * o.Rows {
		prefix := []string{"ghp_", "glpat-", "tök-"}[i%3]
		s.tokens = append(s.tokens, prefix+randomHex(rng, 24))
	}
	return s
}

func (s secrets) mfaText() string { return base64.URLEncoding.EncodeToString(s.mfa) }

// write puts the secret files into the home, as CIDX keeps them: mode 0600,
// two with a line end that CIDX strips, and a salt whose line end counts.
func (s secrets) write(home string) error {
	files := map[string]string{".jwt_secret": s.jwt + "\n", ".encryption_key_salt": s.salt, "data/mfa_key.dat": s.mfaText() + "\n"}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(home, name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("write secret file: %w", err)
		}
	}
	return nil
}

// all answers every secret of the home in clear.
func (w *world) allSecrets() []string {
	out := []string{w.secrets.jwt, w.secrets.mfaText()}
	for _, u := range w.users {
		out = append(out, u.password, u.apiKey)
		if u.totp != "" {
			out = append(out, u.totp, u.recovery)
		}
	}
	return append(out, w.secrets.tokens...)
}
