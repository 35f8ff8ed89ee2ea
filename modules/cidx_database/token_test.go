package database

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"testing"

	"cidx-cluster/modules/internal/keys"
)

// encryptToken does what CIDX's token encryption does.
func encryptToken(t *testing.T, salt, text string) string {
	t.Helper()
	block, err := aes.NewCipher(keys.TokenKey(salt))
	if err != nil {
		t.Fatal(err)
	}
	iv := []byte("0123456789abcdef")
	n := aes.BlockSize - len(text)%aes.BlockSize
	padded := append([]byte(text), bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)
	return base64.StdEncoding.EncodeToString(append(iv, padded...))
}
