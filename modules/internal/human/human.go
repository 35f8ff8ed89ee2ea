// Package human writes numbers for reading: one format for sizes, counts and
// times wherever an operator meets them.
package human

import (
	"fmt"
	"math"
	"strings"

	"github.com/dustin/go-humanize"
)

// Bytes is a size, decimal as disks are sold: "8.4 GB".
func Bytes[N ~int | ~int64 | ~float64](n N) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB", "PB"}
	value, i := float64(n), 0
	for value >= 999.95 && i < len(units)-1 {
		value, i = value/1000, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%.0f bytes", value)
	}
	return fmt.Sprintf("%.1f %s", value, units[i])
}

// Number sets thousands apart: "12,345".
func Number[N ~int | ~int64](n N) string { return humanize.Comma(int64(n)) }

// Count is a number of things: "1 row", "12,345 rows".
func Count[N ~int | ~int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Number(n) + " " + many
}

// Tenths rounds seconds as replies and reports hold them.
func Tenths(seconds float64) float64 { return math.Round(seconds*10) / 10 }

// Seconds is a span of time: "1.2 s", "39 s", "4 min 20 s", "2 h 5 min".
func Seconds(n float64) string {
	whole := int64(math.Round(n))
	switch {
	case n < 9.95:
		return fmt.Sprintf("%.1f s", max(0, n))
	case whole < 90:
		return fmt.Sprintf("%d s", whole)
	case whole < 90*60:
		return fmt.Sprintf("%d min %d s", whole/60, whole%60)
	}
	return fmt.Sprintf("%d h %d min", whole/3600, whole%3600/60)
}

// FirstLines is the beginning of what a program has said, on one line.
func FirstLines(text string, n int) string {
	lines := strings.SplitN(text, "\n", n+1)
	return strings.Join(lines[:min(n, len(lines))], "; ")
}

// Clip shortens a text to at most that many characters. It keeps the beginning and
// the end: the last part of a path says most.
func Clip(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	head := most * 2 / 3
	return string(runes[:head]) + "…" + string(runes[len(runes)-most+head+1:])
}

// Word spells a text as one word of a shell's command line.
func Word(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./@:+,%=", r)
	}
	if text != "" && strings.TrimFunc(text, plain) == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
