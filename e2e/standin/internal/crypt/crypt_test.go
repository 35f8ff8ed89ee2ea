package crypt

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestFernetKeyOpensOnlyItsOwnTokens(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	key, err := ParseFernetKey(NewFernetKey() + "\n")
	if err != nil {
		t.Fatal(err)
	}
	other, _ := ParseFernetKey(NewFernetKey())
	token := key.Seal("JBSWY3DPEHPK3PXP", now)
	if got, err := key.Open(token); err != nil || got != "JBSWY3DPEHPK3PXP" {
		t.Fatalf("own key: %q, %v", got, err)
	}
	if _, err := other.Open(token); !errors.Is(err, ErrSealed) {
		t.Fatalf("foreign key: %v", err)
	}
	if key.RecoveryHash("ABCD") == other.RecoveryHash("ABCD") {
		t.Fatal("recovery hash does not depend on the key")
	}
}

// The reference token of the Fernet specification (fernet/spec, generate.json).
func TestFernetReferenceVector(t *testing.T) {
	key, err := ParseFernetKey("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=")
	if err != nil {
		t.Fatal(err)
	}
	got, err := key.Open("gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==")
	if err != nil || got != "hello" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestFernetKeyIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "short": "YWJj", "not base64": strings.Repeat("!", 44),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseFernetKey(text); err == nil {
				t.Fatal("accepted")
			}
		})
	}
}

// RFC 6238, appendix B, SHA-1: the last six of the eight digits.
func TestTOTPReferenceVectors(t *testing.T) {
	const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	for unix, want := range map[int64]string{59: "287082", 1111111109: "081804", 20000000000: "353130"} {
		if got, err := TOTP(secret, unix/30); err != nil || got != want {
			t.Errorf("time %d: got %s, %v, want %s", unix, got, err, want)
		}
	}
}

func TestMatchTOTP(t *testing.T) {
	const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	now := time.Unix(1_790_000_010, 0)
	at := now.Unix() / 30
	for name, c := range map[string]struct {
		counter, used int64
		want          bool
	}{
		"the current code works":                    {at, 0, true},
		"the code before works":                     {at - 1, 0, true},
		"a code two steps old is refused":           {at - 2, 0, false},
		"a code that was used is refused":           {at, at, false},
		"a code older than the used one is refused": {at - 1, at, false},
	} {
		t.Run(name, func(t *testing.T) {
			code, _ := TOTP(secret, c.counter)
			if _, ok := MatchTOTP(secret, code, now, c.used); ok != c.want {
				t.Fatalf("got %v", ok)
			}
		})
	}
}

func TestPassword(t *testing.T) {
	stored := HashPassword("s3cret")
	for name, c := range map[string]struct {
		password, stored string
		want             bool
	}{
		"the password matches":             {"s3cret", stored, true},
		"padding of base64 may be absent":  {"s3cret", strings.ReplaceAll(stored, "=", ""), true},
		"another password does not":        {"S3cret", stored, false},
		"a foreign form never matches":     {"s3cret", "$2b$12$abcdef", false},
		"an empty hash never matches":      {"s3cret", "pbkdf2_sha256$1$YWJj$", false},
		"zero rounds never match anything": {"s3cret", "pbkdf2_sha256$0$YWJj$YWJj", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := CheckPassword(c.password, c.stored); got != c.want {
				t.Fatalf("got %v", got)
			}
		})
	}
}

func TestTokenKeyDependsOnEveryByteOfTheSaltText(t *testing.T) {
	key := NewTokenKey("build-host")
	stored := key.Seal("glpat-example")
	if got, err := NewTokenKey("build-host").Open(stored); err != nil || got != "glpat-example" {
		t.Fatalf("same text: %q, %v", got, err)
	}
	if got, err := NewTokenKey("build-host\n").Open(stored); err == nil {
		t.Fatalf("a newline more opened it: %q", got)
	}
}

func TestJWT(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	token := SignJWT("one", Claims{Username: "ops", Role: "admin", ID: "x", Issued: 1_790_000_000, Expires: 1_790_000_600})
	if c, err := ReadJWT("one", token, now); err != nil || c.Username != "ops" || c.Role != "admin" {
		t.Fatalf("own secret: %+v, %v", c, err)
	}
	if _, err := ReadJWT("two", token, now); !errors.Is(err, ErrToken) {
		t.Fatalf("foreign secret: %v", err)
	}
	if _, err := ReadJWT("one", token, now.Add(10*time.Minute)); !errors.Is(err, ErrToken) {
		t.Fatalf("expired: %v", err)
	}
}
