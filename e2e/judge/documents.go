package judge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// equalJSON compares two documents as jsonb sees them: order of keys and
// spacing do not matter, the last of equal keys counts, numbers are exact decimals.
func equalJSON(was liteValue, is string) (bool, error) {
	if was.class != 't' {
		return false, fmt.Errorf("storage class is not text")
	}
	want, err := decodeJSON(was.text)
	if err != nil {
		return false, fmt.Errorf("SQLite's value: %w", err)
	}
	got, err := decodeJSON(is)
	if err != nil {
		return false, fmt.Errorf("PostgreSQL's value: %w", err)
	}
	return sameJSON(want, got), nil
}

func decodeJSON(text string) (any, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("not JSON: text after the value")
	}
	return v, nil
}

func sameJSON(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		n, ok := b.(json.Number)
		return ok && decimal(a.String()) == decimal(n.String())
	case map[string]any:
		m, ok := b.(map[string]any)
		if !ok || len(a) != len(m) {
			return false
		}
		for key, value := range a {
			other, has := m[key]
			if !has || !sameJSON(value, other) {
				return false
			}
		}
		return true
	case []any:
		l, ok := b.([]any)
		if !ok || len(a) != len(l) {
			return false
		}
		for i := range a {
			if !sameJSON(a[i], l[i]) {
				return false
			}
		}
		return true
	}
	return a == b // string, bool, nil
}

// decimal is the one spelling of a JSON number: sign, digits without zeros at
// either end, power of ten. It needs no more room than the number itself.
func decimal(n string) string {
	n, exponent, _ := strings.Cut(strings.ToLower(n), "e")
	power := 0
	if exponent != "" {
		power, _ = strconv.Atoi(strings.TrimPrefix(exponent, "+"))
	}
	sign := ""
	if strings.HasPrefix(n, "-") {
		sign, n = "-", n[1:]
	}
	whole, fraction, _ := strings.Cut(n, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	power -= len(fraction)
	trimmed := strings.TrimRight(digits, "0")
	power += len(digits) - len(trimmed)
	if trimmed == "" {
		return "0"
	}
	return sign + trimmed + "e" + strconv.Itoa(power)
}
