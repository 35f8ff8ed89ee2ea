package seed

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// What CIDX 11.79 encrypts and how: tokens by AES-256-CBC under a key derived
// from the salt file, TOTP secrets by Fernet under data/mfa_key.dat, recovery
// codes by HMAC with that key's signing half.

const tokenPassword = "cidx-token-encryption-key"

// tokenKey derives the key of ci_tokens and user_git_credentials; salt is the
// content of .encryption_key_salt exactly as it is, line ends included.
func tokenKey(salt string) ([]byte, error) {
	sum := sha256.Sum256([]byte(salt))
	key, err := pbkdf2.Key(sha256.New, tokenPassword, sum[:], 100_000, 32)
	if err != nil {
		return nil, fmt.Errorf("derive token key: %w", err)
	}
	return key, nil
}

// encryptToken answers base64(IV + ciphertext), AES-256-CBC with PKCS7 padding.
func encryptToken(rng *rand.Rand, key []byte, clear string) (string, error) {
	iv := randomBytes(rng, aes.BlockSize)
	sealed, err := cbc(key, iv, clear)
	if err != nil {
		return "", fmt.Errorf("encrypt token: %w", err)
	}
	return base64.StdEncoding.EncodeToString(append(iv, sealed...)), nil
}

func cbc(key, iv []byte, clear string) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(clear)%aes.BlockSize
	padded := append([]byte(clear), []byte(strings.Repeat(string(rune(pad)), pad))...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)
	return padded, nil
}

// fernet encrypts as the Fernet specification says: version 0x80, time, IV,
// AES-128-CBC ciphertext, HMAC-SHA256, all in URL-safe base64. key is 32 bytes.
func fernet(rng *rand.Rand, key []byte, clear string, at time.Time) (string, error) {
	iv := randomBytes(rng, aes.BlockSize)
	sealed, err := cbc(key[16:], iv, clear)
	if err != nil {
		return "", fmt.Errorf("encrypt by Fernet: %w", err)
	}
	token := binary.BigEndian.AppendUint64([]byte{0x80}, uint64(at.Unix()))
	token = append(append(token, iv...), sealed...)
	mac := hmac.New(sha256.New, key[:16])
	mac.Write(token)
	return base64.URLEncoding.EncodeToString(mac.Sum(token)), nil
}

// recoveryHash is what user_recovery_codes keeps of a code: hex HMAC-SHA256
// under the signing half of the Fernet key.
func recoveryHash(key []byte, code string) string {
	mac := hmac.New(sha256.New, key[:16])
	mac.Write([]byte(code))
	return hex.EncodeToString(mac.Sum(nil))
}

// passwordHash answers pbkdf2_sha256$1000$<base64 salt>$<base64 hash>.
func passwordHash(rng *rand.Rand, password string) (string, error) {
	salt := randomBytes(rng, 12)
	key, err := pbkdf2.Key(sha256.New, password, salt, 1000, 32)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("pbkdf2_sha256$1000$%s$%s", b64(salt), b64(key)), nil
}

func randomBytes(rng *rand.Rand, n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(rng.Uint32())
	}
	return out
}

func randomHex(rng *rand.Rand, n int) string { return hex.EncodeToString(randomBytes(rng, n/2)) }

func sha256Hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
