package keys

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"testing"
)

// encryptToken does what CIDX's token encryption does.
func encryptToken(t *testing.T, salt, text string) string {
	t.Helper()
	block, err := aes.NewCipher(TokenKey(salt))
	if err != nil {
		t.Fatal(err)
	}
	iv := []byte("0123456789abcdef")
	n := aes.BlockSize - len(text)%aes.BlockSize
	padded := append([]byte(text), bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)
	return base64.StdEncoding.EncodeToString(append(iv, padded...))
}

func TestOpensToken(t *testing.T) {
	key := TokenKey("salt text")
	for name, c := range map[string]struct {
		stored string
		want   bool
	}{
		"the right key":       {encryptToken(t, "salt text", "größe-token"), true},
		"an empty token":      {encryptToken(t, "salt text", ""), true},
		"a key with a blank":  {encryptToken(t, "salt text ", "token"), false},
		"no base64":           {"not base64!", false},
		"too short":           {"AAAA", false},
		"no whole block":      {base64.StdEncoding.EncodeToString(make([]byte, 40)), false},
		"padding beyond text": {base64.StdEncoding.EncodeToString(make([]byte, 32)), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := OpensToken(c.stored, key); got != c.want {
				t.Errorf("OpensToken = %v", got)
			}
		})
	}
}

// TestOpensMFA uses the test vector of the Fernet specification
// (https://github.com/fernet/spec, verify.json).
func TestOpensMFA(t *testing.T) {
	key, ok := ParseMFA("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=")
	const token = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="
	if !ok || !OpensMFA(token, key) {
		t.Error("the specification's token does not open")
	}
	other, _ := ParseMFA("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	if OpensMFA(token, other) {
		t.Error("another key opens it")
	}
	for name, bad := range map[string]string{"cut off": token[:40], "no base64": "%%%", "changed": "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDQ=="} {
		if OpensMFA(bad, key) {
			t.Errorf("%s: opens", name)
		}
	}
	if _, ok := ParseMFA("short"); ok {
		t.Error("a short key is taken")
	}
}
