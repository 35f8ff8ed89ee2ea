package seal

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func TestOnlyTheKeyOpensIt(t *testing.T) {
	key, other := strings.Repeat("6b", 32), strings.Repeat("78", 32)
	closed, err := Close(key, map[string]string{"salt": "a secret text"})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Close(key, map[string]string{"salt": "a secret text"}); err != nil || again == closed {
		t.Errorf("closed twice it looks the same: %v", err)
	}
	raw, _ := base64.StdEncoding.DecodeString(closed)
	raw[len(raw)/2] ^= 1
	for name, c := range map[string]struct {
		key, text string
		want      error
	}{
		"the key":                {key, closed, nil},
		"another key":            {other, closed, ErrClosed},
		"no key":                 {"", closed, ErrKey},
		"a short key":            {"6b6b", closed, ErrKey},
		"changed on its way":     {key, base64.StdEncoding.EncodeToString(raw), ErrClosed},
		"cut off":                {key, closed[:8], ErrClosed},
		"something else's text":  {key, "not base64!", ErrClosed},
		"nothing":                {key, "", ErrClosed},
		"in clear, as JSON is":   {key, `{"salt":"a secret text"}`, ErrClosed},
		"the key as its content": {key, key, ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			var got map[string]string
			if err := Open(c.key, c.text, &got); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if opened := got["salt"] == "a secret text"; opened != (c.want == nil) {
				t.Errorf("opened: %v", opened)
			}
		})
	}
}
