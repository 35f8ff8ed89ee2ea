package job

import (
	"fmt"
	"math"
	"strings"
	"time"

	"cidx-cluster/modules/internal/human"
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
		parts = append(parts, human.Seconds(math.Ceil(s.ETA))+" left")
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

// amount is a number with its unit: 8.4 GB, 120,000 rows.
func amount(n float64, unit string, named bool) string {
	switch {
	case unit == "bytes":
		return human.Bytes(n)
	case named && unit != "":
		return human.Number(int64(math.Round(n))) + " " + unit
	}
	return human.Number(int64(math.Round(n)))
}
