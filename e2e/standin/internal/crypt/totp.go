package crypt

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// TOTPStep is how long one code lives.
const TOTPStep = 30 * time.Second

// TOTP returns the six-digit code (RFC 6238, SHA-1) of a base32 secret for one counter, i.e. Unix time / 30 s.
func TOTP(secret string, counter int64) (string, error) {
	secret = strings.ToUpper(strings.TrimRight(strings.ReplaceAll(secret, " ", ""), "="))
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil || len(key) == 0 {
		return "", errors.New("read TOTP secret: not base32")
	}
	h := hmac.New(sha1.New, key)
	_ = binary.Write(h, binary.BigEndian, counter)
	sum := h.Sum(nil)
	at := sum[len(sum)-1] & 0x0f
	code := binary.BigEndian.Uint32(sum[at:at+4]) & 0x7fffffff
	return fmt.Sprintf("%06d", code%1_000_000), nil
}

// MatchTOTP finds the counter whose code was given, one step before or after now; ok is false if none matches
// or if the counter is not newer than used (a code works once).
func MatchTOTP(secret, code string, now time.Time, used int64) (counter int64, ok bool) {
	at := now.Unix() / int64(TOTPStep/time.Second)
	for c := at - 1; c <= at+1; c++ {
		want, err := TOTP(secret, c)
		if err == nil && hmac.Equal([]byte(want), []byte(strings.TrimSpace(code))) && c > used {
			return c, true
		}
	}
	return 0, false
}
