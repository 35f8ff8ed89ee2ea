package crypt

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrToken is returned for a JWT that is malformed, signed with another secret, or expired.
var ErrToken = errors.New("not a valid JWT")

// Claims are what CIDX signs into a JWT.
type Claims struct {
	Username string  `json:"username"`
	Role     string  `json:"role"`
	ID       string  `json:"jti"`
	Issued   float64 `json:"iat"`
	Expires  float64 `json:"exp"`
}

// SignJWT makes an HS256 token.
func SignJWT(secret string, c Claims) string {
	body, err := json.Marshal(c)
	if err != nil {
		panic("crypt: claims hold only text and finite numbers: " + err.Error())
	}
	enc := base64.RawURLEncoding.EncodeToString
	signed := enc([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc(body)
	return signed + "." + enc(mac([]byte(secret), []byte(signed)))
}

// ReadJWT checks signature and age.
func ReadJWT(secret, token string, now time.Time) (Claims, error) {
	var c Claims
	cut := strings.LastIndexByte(token, '.')
	if cut < 0 {
		return c, ErrToken
	}
	tag, err := base64.RawURLEncoding.DecodeString(token[cut+1:])
	if err != nil || !hmac.Equal(tag, mac([]byte(secret), []byte(token[:cut]))) {
		return c, ErrToken
	}
	head, payload, _ := strings.Cut(token[:cut], ".")
	var alg struct{ Alg string }
	if err := decodePart(head, &alg); err != nil || alg.Alg != "HS256" {
		return c, ErrToken
	}
	if err := decodePart(payload, &c); err != nil {
		return c, ErrToken
	}
	if c.Username == "" || float64(now.UnixMicro())/1e6 >= c.Expires {
		return c, fmt.Errorf("expired or anonymous: %w", ErrToken)
	}
	return c, nil
}

func decodePart(part string, into any) error {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}
