// Package crypt holds the ciphers, hashes and one-time codes of a CIDX server (release 11.79).
//
// Every function is pure: keys and clocks come in as arguments, nothing is read from disk, and no error
// carries a key, a token or a plain text.
package crypt

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrSealed is returned when a key does not open a ciphertext.
var ErrSealed = errors.New("key does not open the value")

// FernetKey is the key that CIDX keeps in data/mfa_key.dat or in cluster_secrets.mfa_encryption_key:
// 16 bytes that sign, 16 bytes that encrypt, as URL-safe base64.
type FernetKey struct {
	sign, encrypt []byte
}

// ParseFernetKey reads a key; white space around it is ignored, as CIDX strips it.
func ParseFernetKey(text string) (FernetKey, error) {
	raw, err := base64.URLEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(raw) != 32 {
		return FernetKey{}, errors.New("read MFA key: not 32 bytes of URL-safe base64")
	}
	return FernetKey{sign: raw[:16], encrypt: raw[16:]}, nil
}

// NewFernetKey invents a key and returns its text.
func NewFernetKey() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails: crypto/rand aborts the process instead
	return base64.URLEncoding.EncodeToString(raw)
}

// Open returns the plain text of a Fernet token, or ErrSealed.
func (k FernetKey) Open(token string) (string, error) {
	raw, err := base64.URLEncoding.DecodeString(strings.TrimSpace(token))
	if err != nil || len(raw) < 1+8+16+16+32 || raw[0] != 0x80 {
		return "", fmt.Errorf("open Fernet token: %w", ErrSealed)
	}
	body, tag := raw[:len(raw)-32], raw[len(raw)-32:]
	if !hmac.Equal(tag, mac(k.sign, body)) {
		return "", fmt.Errorf("open Fernet token: %w", ErrSealed)
	}
	plain, err := openCBC(k.encrypt, body[9:25], body[25:])
	if err != nil {
		return "", fmt.Errorf("open Fernet token: %w", err)
	}
	return string(plain), nil
}

// Seal makes a Fernet token of plain as of now.
func (k FernetKey) Seal(plain string, now time.Time) string {
	iv := make([]byte, aes.BlockSize)
	_, _ = rand.Read(iv)
	body := append([]byte{0x80}, binary.BigEndian.AppendUint64(nil, uint64(now.Unix()))...)
	body = append(body, iv...)
	body = append(body, sealCBC(k.encrypt, iv, []byte(plain))...)
	return base64.URLEncoding.EncodeToString(append(body, mac(k.sign, body)...))
}

// RecoveryHash is the stored form of an MFA recovery code: the hexadecimal HMAC-SHA256 of the code under the signing half.
func (k FernetKey) RecoveryHash(code string) string {
	return hex.EncodeToString(mac(k.sign, []byte(code)))
}

func mac(key, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(body)
	return h.Sum(nil)
}

func openCBC(key, iv, sealed []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil || len(sealed) == 0 || len(sealed)%aes.BlockSize != 0 {
		return nil, ErrSealed
	}
	plain := make([]byte, len(sealed))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, sealed)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > aes.BlockSize || pad > len(plain) {
		return nil, ErrSealed
	}
	for _, b := range plain[len(plain)-pad:] {
		if int(b) != pad {
			return nil, ErrSealed
		}
	}
	return plain[:len(plain)-pad], nil
}

func sealCBC(key, iv, plain []byte) []byte {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("crypt: key length checked by the caller: " + err.Error())
	}
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	padded := append([]byte{}, plain...)
	for range pad {
		padded = append(padded, byte(pad))
	}
	sealed := make([]byte, len(padded))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(sealed, padded)
	return sealed
}
