package load

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Notes are what is told while rows are carried over, and kept for a reply.
type Notes struct {
	Warnings Warnings
	Clock    Stopwatch
	Meter    *Meter
	Lists    Lists
}

// Stopwatch collects how long each part took.
type Stopwatch struct {
	Parts map[string]float64
	last  time.Time
}

// StartStopwatch is one that runs.
func StartStopwatch() Stopwatch { return Stopwatch{map[string]float64{}, time.Now()} }

// Lap books the time since the last call under a name.
func (s *Stopwatch) Lap(name string) {
	now := time.Now()
	s.Parts[name] += float64(now.Sub(s.last).Milliseconds()) / 1000
	s.last = now
}

// Warnings are told once each.
type Warnings []string

func (w *Warnings) Add(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(*w, text) {
		*w = append(*w, text)
	}
}

// Head joins the first n items and says how many more there are.
func Head(items []string, n int) string {
	if len(items) <= n {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:n], ", "), len(items)-n)
}
