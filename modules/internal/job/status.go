package job

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"cidx-cluster/modules/internal/progress"
)

// Told is an event as the controller prints it: a line of the transcript, or
// a status with its text.
type Told struct {
	Time   time.Time        `json:"time"`
	Line   *string          `json:"line,omitempty"`
	Status *progress.Status `json:"status,omitempty"`
	Text   string           `json:"text,omitempty"` // of Status, e.g. "[ 33%] audit_logs 120,000 / 360,000 rows, 41,000 rows/s, 6 s left"
}

func told(e progress.Event) Told {
	t := Told{Time: e.Time, Line: e.Line, Status: e.Status}
	if e.Status != nil {
		t.Text = statusText(*e.Status)
	}
	return t
}

// statusText renders a status in one line; what is unknown is left out.
func statusText(s progress.Status) string {
	var parts []string
	switch {
	case s.Total > 0:
		parts = append(parts, fmt.Sprintf("%s %s / %s", s.What, amount(float64(s.Done), s.Unit, false), amount(float64(s.Total), s.Unit, true)))
	case s.Done > 0:
		parts = append(parts, s.What+" "+amount(float64(s.Done), s.Unit, true))
	default:
		parts = append(parts, s.What)
	}
	if s.Rate > 0 {
		parts = append(parts, amount(s.Rate, s.Unit, true)+"/s")
	}
	if s.ETA > 0 {
		parts = append(parts, duration(s.ETA)+" left")
	}
	if s.Note != "" {
		parts = append(parts, s.Note)
	}
	return share(s) + strings.Join(parts, ", ")
}

// share is how much is done; never 100 % before the end.
func share(s progress.Status) string {
	if s.Total <= 0 {
		return "[ ..%] "
	}
	percent := s.Done * 100 / s.Total
	return fmt.Sprintf("[%3d%%] ", max(0, min(percent, 100)))
}

// amount is a number with its unit: bytes in decimal units (8.4 GB), anything
// else with thousands set apart (120,000 rows).
func amount(n float64, unit string, named bool) string {
	if unit != "bytes" {
		text := thousands(int64(math.Round(n)))
		if named && unit != "" {
			text += " " + unit
		}
		return text
	}
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	i := 0
	for n >= 999.5 && i < len(units)-1 {
		n /= 1000
		i++
	}
	if i == 0 || n >= 99.95 {
		return fmt.Sprintf("%.0f %s", n, units[i])
	}
	return fmt.Sprintf("%.1f %s", n, units[i])
}

func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

func duration(seconds float64) string {
	s := int64(math.Ceil(seconds))
	switch {
	case s < 90:
		return fmt.Sprintf("%d s", s)
	case s < 90*60:
		return fmt.Sprintf("%d min", (s+59)/60)
	}
	return fmt.Sprintf("%d h %d min", s/3600, s%3600/60)
}
