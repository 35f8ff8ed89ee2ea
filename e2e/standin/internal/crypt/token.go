package crypt

import (
	"crypto/aes"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"unicode/utf8"
)

// TokenKey opens ci_tokens.encrypted_token and user_git_credentials.encrypted_token.
type TokenKey []byte

// NewTokenKey derives the key from a salt text: PBKDF2-HMAC-SHA256 over a fixed password, salted with sha256 of
// the text, 100,000 rounds. The text is taken as it is; CIDX does not strip .encryption_key_salt.
func NewTokenKey(saltText string) TokenKey {
	salt := sha256.Sum256([]byte(saltText))
	key, err := pbkdf2.Key(sha256.New, "cidx-token-encryption-key", salt[:], 100_000, 32)
	if err != nil {
		panic("crypt: constant parameters of PBKDF2: " + err.Error())
	}
	return key
}

// Open decrypts base64(IV + AES-256-CBC ciphertext). A plain text that is not UTF-8 counts as a wrong key:
// the padding alone accepts one wrong key in 256.
func (k TokenKey) Open(stored string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(stored)
	if err != nil || len(raw) <= aes.BlockSize {
		return "", fmt.Errorf("open token: %w", ErrSealed)
	}
	plain, err := openCBC(k, raw[:aes.BlockSize], raw[aes.BlockSize:])
	if err != nil || !utf8.Valid(plain) {
		return "", fmt.Errorf("open token: %w", ErrSealed)
	}
	return string(plain), nil
}

// Seal encrypts a token in the stored form.
func (k TokenKey) Seal(plain string) string {
	iv := make([]byte, aes.BlockSize)
	_, _ = rand.Read(iv)
	return base64.StdEncoding.EncodeToString(append(iv, sealCBC(k, iv, []byte(plain))...))
}
