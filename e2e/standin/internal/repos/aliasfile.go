package repos

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/tidwall/gjson"
)

// field is one top-level member of an alias file, its value as raw JSON.
type field struct{ key, raw string }

// CreateAlias writes the pointer file of a repository that has none; it points at the clone.
func (l Layout) CreateAlias(name, repo, clonePath string, now time.Time) error {
	stamp := rawString(ISO(now))
	return writeAlias(l.AliasFile(name), []field{
		{"target_path", rawString(clonePath)}, {"created_at", stamp}, {"last_refresh", stamp}, {"repo_name", rawString(repo)},
	})
}

// swapAlias points an alias at a new snapshot and remembers the old target; unknown keys stay.
func (l Layout) swapAlias(name, target string, now time.Time) (previous string, err error) {
	path := l.AliasFile(name)
	raw, err := os.ReadFile(path)
	if err != nil || !gjson.ValidBytes(raw) {
		return "", fmt.Errorf("read alias file %s: not readable as JSON", path)
	}
	var fields []field
	gjson.ParseBytes(raw).ForEach(func(k, v gjson.Result) bool {
		fields = append(fields, field{k.String(), v.Raw})
		return true
	})
	previous = gjson.GetBytes(raw, "target_path").String()
	for _, f := range []field{
		{"target_path", rawString(target)}, {"last_refresh", rawString(ISO(now))},
		{"previous_path", rawString(previous)}, {"swapped_at", rawString(ISO(now))},
	} {
		fields = set(fields, f)
	}
	return previous, writeAlias(path, fields)
}

func set(fields []field, f field) []field {
	for i := range fields {
		if fields[i].key == f.key {
			fields[i].raw = f.raw
			return fields
		}
	}
	return append(fields, f)
}

// writeAlias writes as CIDX does: two spaces, ASCII only, no newline at the end, 0600, replaced at once.
func writeAlias(path string, fields []field) error {
	lines := make([]string, len(fields))
	for i, f := range fields {
		lines[i] = "  " + rawString(f.key) + ": " + f.raw
	}
	text := "{\n" + strings.Join(lines, ",\n") + "\n}"
	return WriteFile(path, []byte(text), 0o600)
}

// WriteFile replaces a file at once: temporary file beside it, fsync, rename.
func WriteFile(path string, text []byte, mode os.FileMode) error {
	name := strings.TrimSuffix(filepath.Base(path), ".json")
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+name+"_*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = tmp.Write(text)
	for _, step := range []func() error{func() error { return tmp.Chmod(mode) }, tmp.Sync, tmp.Close} {
		if e := step(); err == nil {
			err = e
		}
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func rawString(s string) string {
	raw, _ := json.Marshal(s) // text always marshals
	var b strings.Builder
	for _, r := range string(raw) {
		switch {
		case r < 0x80:
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		}
	}
	return b.String()
}

// ISO spells an instant as CIDX does: UTC, microseconds, numeric offset.
func ISO(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000") + "+00:00" }
