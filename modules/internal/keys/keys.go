// Package keys tells which key opens what CIDX 11.79 has encrypted: stored tokens,
// with the text of the salt file, and second factors, with the MFA key. It only
// opens; nothing that was opened is kept.
package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"unicode/utf8"
)

// CIDX 11.79 encrypts tokens with AES-256-CBC and PKCS7 padding, the IV before
// the ciphertext, all in base64. The key is PBKDF2-HMAC-SHA256 over a constant
// with a salt that is the SHA-256 of a text: the salt file's content.
const (
	tokenPassword = "cidx-token-encryption-key"
	tokenRounds   = 100_000
)

// TokenKey is the key of stored tokens; saltText is the salt file as it is: CIDX
// does not strip it.
func TokenKey(saltText string) []byte {
	salt := sha256.Sum256([]byte(saltText))
	key, err := pbkdf2.Key(sha256.New, tokenPassword, salt[:], tokenRounds, 32)
	if err != nil {
		panic("keys: derive token key: " + err.Error()) // only in FIPS mode with other parameters
	}
	return key
}

// OpensToken reports whether key decrypts a stored token. A wrong key passes
// the check of the padding once in 256 times, but then the text is hardly ever
// UTF-8 as well.
func OpensToken(stored string, key []byte) bool {
	raw, err := base64.StdEncoding.DecodeString(stored)
	if err != nil || len(raw) < 2*aes.BlockSize {
		return false
	}
	plain, err := decryptCBC(key, raw[:aes.BlockSize], raw[aes.BlockSize:])
	return err == nil && utf8.Valid(plain)
}

// ParseMFA reads a Fernet key: 32 bytes in URL-safe base64, the first half
// signs, the second encrypts.
func ParseMFA(text string) ([]byte, bool) {
	key, err := base64.URLEncoding.DecodeString(text)
	return key, err == nil && len(key) == 32
}

// OpensMFA reports whether a Fernet token was made with key
// (https://github.com/fernet/spec: version, time, IV, ciphertext, HMAC).
func OpensMFA(stored string, key []byte) bool {
	raw, err := base64.URLEncoding.DecodeString(stored)
	if err != nil || len(raw) < 1+8+2*aes.BlockSize+sha256.Size || raw[0] != 0x80 {
		return false
	}
	body, tag := raw[:len(raw)-sha256.Size], raw[len(raw)-sha256.Size:]
	mac := hmac.New(sha256.New, key[:16])
	mac.Write(body)
	if !hmac.Equal(mac.Sum(nil), tag) {
		return false
	}
	_, err = decryptCBC(key[16:], body[9:9+aes.BlockSize], body[9+aes.BlockSize:])
	return err == nil
}

var errPadding = errors.New("wrong padding")

func decryptCBC(key, iv, text []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if len(text) == 0 || len(text)%aes.BlockSize != 0 {
		return nil, errPadding
	}
	plain := make([]byte, len(text))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, text)
	n := int(plain[len(plain)-1])
	if n == 0 || n > aes.BlockSize {
		return nil, errPadding
	}
	for _, b := range plain[len(plain)-n:] {
		if int(b) != n {
			return nil, errPadding
		}
	}
	return plain[:len(plain)-n], nil
}
