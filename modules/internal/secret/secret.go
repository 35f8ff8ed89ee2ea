// Package secret keeps values that must never be shown. What is registered
// with a Keeper is masked in every string that leaves the process.
//
// A Keeper travels in the context, so that code deep inside a step can register
// what it reads from a file (the DSN of config.json, a key file) without
// passing it around.
package secret

import (
	"context"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync"

	"cidx-cluster/modules/internal/printable"
)

// Mask replaces every registered value.
const Mask = "********"

// shortest is the length in bytes below which a value is not masked by itself:
// replacing every "a" of a reply would destroy it and hide nothing.
const shortest = 4

// Keeper holds the values of one run. The zero value is not usable; call New.
type Keeper struct {
	mu     sync.Mutex
	values map[string]bool
	sorted []string
}

type key struct{}

// New returns an empty Keeper.
func New() *Keeper { return &Keeper{values: map[string]bool{}} }

// With returns a context that carries k.
func With(ctx context.Context, k *Keeper) context.Context {
	return context.WithValue(ctx, key{}, k)
}

// From returns the Keeper of ctx, or a fresh one where ctx carries none.
func From(ctx context.Context) *Keeper {
	if k, ok := ctx.Value(key{}).(*Keeper); ok {
		return k
	}
	return New()
}

// Keep registers values with the Keeper of ctx. Empty and very short values
// are ignored.
func Keep(ctx context.Context, values ...string) { From(ctx).Keep(values...) }

// KeepDSN registers the password of a PostgreSQL connection string, in URL or
// key=value form, in every spelling in which a driver may repeat it.
func KeepDSN(ctx context.Context, dsn string) { From(ctx).Keep(Passwords(dsn)...) }

// Keep registers values: as they are, URL-escaped, trimmed, and as they are
// spelled where they are quoted (%q) or made printable.
func (k *Keeper) Keep(values ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, v := range values {
		quoted := strconv.Quote(v)
		spellings := []string{v, strings.TrimSpace(v), url.QueryEscape(v), url.PathEscape(v), quoted[1 : len(quoted)-1], printable.Line(v)}
		for _, s := range spellings {
			if len(s) >= shortest {
				k.values[s] = true
			}
		}
	}
	k.sorted = k.sorted[:0]
	for v := range k.values {
		k.sorted = append(k.sorted, v)
	}
	// Longest first: a value that contains another one must go as a whole.
	sort.Slice(k.sorted, func(i, j int) bool { return len(k.sorted[i]) > len(k.sorted[j]) })
}

// Hide returns s with every registered value replaced by Mask.
func (k *Keeper) Hide(s string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, v := range k.sorted {
		s = strings.ReplaceAll(s, v, Mask)
	}
	return s
}

// Passwords returns the passwords that a PostgreSQL connection string holds
// (libpq, section 34.1.1: URI and keyword/value form).
func Passwords(dsn string) []string {
	var found []string
	if u, err := url.Parse(dsn); err == nil && u.Scheme != "" {
		if p, ok := u.User.Password(); ok {
			found = append(found, p)
		}
		for _, name := range []string{"password", "sslpassword"} {
			if p := u.Query().Get(name); p != "" {
				found = append(found, p)
			}
		}
	}
	// A URI that does not parse, or one written by hand with an unescaped
	// password: take what stands between the first colon and the last @.
	if _, rest, ok := strings.Cut(dsn, "://"); ok {
		if at := strings.LastIndex(rest, "@"); at >= 0 {
			if _, p, ok := strings.Cut(rest[:at], ":"); ok && p != "" {
				found = append(found, p)
			}
		}
	}
	return append(found, keywordPasswords(dsn)...)
}

// keywordPasswords finds password=… and sslpassword=… in keyword/value form,
// with libpq's quoting: single quotes, backslash escapes.
func keywordPasswords(dsn string) []string {
	var found []string
	rest := dsn
	for {
		i := strings.Index(rest, "password")
		if i < 0 {
			return found
		}
		rest = strings.TrimLeft(rest[i+len("password"):], " \t\n")
		if !strings.HasPrefix(rest, "=") {
			continue
		}
		value, tail := keywordValue(strings.TrimLeft(rest[1:], " \t\n"))
		found, rest = append(found, value), tail
	}
}

func keywordValue(s string) (value, rest string) {
	quoted := strings.HasPrefix(s, "'")
	if quoted {
		s = s[1:]
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case quoted && c == '\'', !quoted && (c == ' ' || c == '\t' || c == '\n'):
			return b.String(), s[i+1:]
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}
