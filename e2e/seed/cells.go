package seed

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// maker makes rows of one table.
type maker struct {
	*world
	rng      *rand.Rand
	tokenKey []byte
}

// cell makes the value of a column in row i, counted from 1.
type cell func(m *maker, i int) any

func (m *maker) instant(i int) time.Time {
	return epoch.Add(-time.Duration(i)*37*time.Minute - time.Duration(m.rng.IntN(3_600_000_000))*time.Microsecond)
}

// The spellings of time that CIDX 11.79 uses.

func iso(m *maker, i int) any {
	t := m.instant(i)
	switch i % 7 {
	case 3: // Python leaves ".000000" away
		return t.Format("2006-01-02T15:04:05") + "+00:00"
	case 5: // an aware time of another zone
		return t.In(time.FixedZone("", 19800)).Format("2006-01-02T15:04:05.000000-07:00")
	}
	return t.Format("2006-01-02T15:04:05.000000") + "+00:00"
}

func naive(m *maker, i int) any {
	layouts := []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02T15:04:05.000000", "2006-01-02 15:04:05.000000"}
	return m.instant(i).Format(layouts[i%len(layouts)])
}

func naiveLocal(m *maker, i int) any {
	return m.instant(i).In(time.Local).Format("2006-01-02T15:04:05.000000")
}

func zulu(m *maker, i int) any { return m.instant(i).Format("2006-01-02T15:04:05.000Z") }

func epochText(m *maker, i int) any {
	return strconv.FormatFloat(float64(m.instant(i).UnixMicro())/1e6, 'f', 1+i%6, 64)
}

func epochReal(m *maker, i int) any { return float64(m.instant(i).UnixMicro()) / 1e6 }

// Building blocks.

func always(v any) cell { return func(*maker, int) any { return v } }

func oneOf(values ...any) cell { return func(_ *maker, i int) any { return values[i%len(values)] } }

// sometimes answers NULL in every n-th row.
func sometimes(n int, c cell) cell {
	return func(m *maker, i int) any {
		if i%n == n-1 {
			return nil
		}
		return c(m, i)
	}
}

func number(limit int) cell { return func(m *maker, _ int) any { return m.rng.IntN(limit) } }

func named(format string) cell { return func(_ *maker, i int) any { return fmt.Sprintf(format, i) } }

func hexOf(n int) cell { return func(m *maker, _ int) any { return randomHex(m.rng, n) } }

func uuid(m *maker, _ int) any {
	h := randomHex(m.rng, 32)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}

func aUser(m *maker, i int) any  { return m.users[i%len(m.users)].name }
func userAt(m *maker, i int) any { return m.users[i-1].name }
func aRepo(m *maker, i int) any  { return m.repos[i%len(m.repos)].alias }
func repoAt(m *maker, i int) any { return m.repos[i-1].alias }

func flag01(m *maker, _ int) any { return m.rng.IntN(2) }

func real64(m *maker, i int) any {
	if i%11 == 0 {
		return 0.30000000000000004
	}
	return m.rng.Float64() * 1e3
}

var phrases = []string{
	"plain text", "Grüße aus Köln", "日本語のテキスト", "emoji 🚀👩‍💻 and flags 🇩🇪", "עברית right to left", "e\u0301 combining, ﬁ ligature",
	`back\slash \N \. \t "quoted" 'single'`, "tab\there", "two\nlines\r\nof text", "", " leading and trailing ", "100 % sure; DROP TABLE users; --",
	"{not: json}", "\u2028 separator \u00a0 nbsp", "\x01\x1f control", "NULL", "null", "𝒳 astral", "true",
}

func text(m *maker, i int) any {
	p := phrases[i%len(phrases)]
	if i%97 == 96 {
		return strings.Repeat(p+" ", 2000)
	}
	if p == "" {
		return ""
	}
	return p + " " + strconv.Itoa(m.rng.IntN(1000))
}

// words is text where an empty value would be absurd.
func words(prefix string) cell {
	return func(m *maker, i int) any { return prefix + " " + phrases[i%9] + " #" + strconv.Itoa(i) }
}
