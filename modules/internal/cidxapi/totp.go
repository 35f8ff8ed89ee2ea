package cidxapi

import (
	"crypto/hmac"
	"crypto/sha1" // #nosec G505 -- RFC 6238's default, and what CIDX uses
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"cidx-cluster/modules/internal/problem"
)

// period is the life of a one-time password, and what CIDX uses.
const period = 30 * time.Second

// totpKey decodes a secret as authenticator apps show it: base32, any case,
// with or without blanks and padding. The error never repeats the secret.
func totpKey(secret string) ([]byte, error) {
	text := strings.ToUpper(strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' || r == '=' {
			return -1
		}
		return r
	}, secret))
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	if err != nil || len(key) == 0 {
		return nil, problem.Problem{What: "the TOTP secret is not base32", At: "cidx_api_totp_secret",
			Fix: "give the key that was shown for manual entry when MFA was set up"}
	}
	return key, nil
}

// step is the number of the period that holds t.
func step(t time.Time) int64 { return t.Unix() / int64(period/time.Second) }

// totp is the six-digit code of a step (RFC 6238 with SHA-1).
func totp(key []byte, step int64) string {
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step))
	mac := hmac.New(sha1.New, key)
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0x0f
	code := binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff
	return fmt.Sprintf("%06d", code%1_000_000)
}
