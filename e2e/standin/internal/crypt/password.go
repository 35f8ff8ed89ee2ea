package crypt

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

const passwordRounds = 20_000

// HashPassword makes the stored form pbkdf2_sha256$<rounds>$<base64 salt>$<base64 hash>.
func HashPassword(password string) string {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	return encodePassword(password, salt, passwordRounds)
}

// AdminHash is "admin" as a real server stores it, made with bcrypt. No other password is ever checked in this form.
const AdminHash = "$2b$12$q0vXr1yJ8b9TzQd1uFhK4e7W8zMzDIpU6EPC7Ad7rTiyTJFJtx7VG"

// CheckPassword compares a password with its stored form; an unreadable form never matches.
func CheckPassword(password, stored string) bool {
	if stored == AdminHash {
		return password == "admin"
	}
	parts := strings.Split(stored, "$")
	if len(parts) != 4 || parts[0] != "pbkdf2_sha256" {
		return false
	}
	rounds, err := strconv.Atoi(parts[1])
	salt, errSalt := decodeBase64(parts[2])
	want, errHash := decodeBase64(parts[3])
	if err != nil || errSalt != nil || errHash != nil || rounds < 1 || len(want) == 0 {
		return false
	}
	got, err := pbkdf2.Key(sha256.New, password, salt, rounds, len(want))
	return err == nil && subtle.ConstantTimeCompare(got, want) == 1
}

// KeyDigest is user_api_keys.key_sha256: the hexadecimal SHA-256 of the whole key.
func KeyDigest(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// RandomText returns n random bytes as URL-safe text.
func RandomText(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw)
	return base64.RawURLEncoding.EncodeToString(raw)
}

func encodePassword(password string, salt []byte, rounds int) string {
	key, err := pbkdf2.Key(sha256.New, password, salt, rounds, 32)
	if err != nil {
		panic("crypt: constant parameters of PBKDF2: " + err.Error())
	}
	enc := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("pbkdf2_sha256$%d$%s$%s", rounds, enc(salt), enc(key))
}

func decodeBase64(s string) ([]byte, error) {
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
}
