// Package seal closes what one node of a cluster has to hand to another one, so
// that it can pass through replies, records and the controller without being
// read there. The key is made by the action plugin for one ansible-playbook run,
// travels on standard input only and is on no disk.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrKey says that the key is not one of the action plugin's: the module was
// called in another way.
var ErrKey = errors.New("no key of 32 bytes in hexadecimal")

// ErrClosed says that the key does not open the text: it was closed by another
// run, or changed on its way.
var ErrClosed = errors.New("closed with another key, or changed since")

// Close encodes v as JSON and encrypts it (AES-256-GCM).
func Close(key string, v any) (string, error) {
	box, err := boxOf(key)
	if err != nil {
		return "", err
	}
	plain, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode what is to be closed: %w", err)
	}
	return base64.StdEncoding.EncodeToString(box.Seal(nil, nil, plain, nil)), nil
}

// Open decrypts what Close has made into v.
func Open(key, text string, v any) error {
	box, err := boxOf(key)
	if err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return ErrClosed
	}
	plain, err := box.Open(nil, nil, raw, nil)
	if err != nil {
		return ErrClosed
	}
	if err := json.Unmarshal(plain, v); err != nil {
		return errors.New("decode what was closed: not the JSON that is expected") // its own text could quote it
	}
	return nil
}

func boxOf(key string) (cipher.AEAD, error) {
	raw, err := hex.DecodeString(key)
	if err != nil || len(raw) != 32 {
		return nil, ErrKey
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, ErrKey
	}
	return cipher.NewGCMWithRandomNonce(block)
}
