package job

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/progress"
)

// Told is an event as the controller prints it: a line of the transcript, or
// a status with its text.
type Told struct {
	progress.Event
	Text string `json:"text,omitempty"` // of Status, e.g. "[ 33%] audit_logs 120,000 / 360,000 rows, 41,000 rows/s, 6 s left"
}

func told(e progress.Event) Told {
	t := Told{Event: e}
	if e.Status != nil {
		t.Text = statusText(*e.Status)
	}
	return t
}

// columns is how wide a status may be: a terminal of 80, less the indent.
const columns = 78

// statusText renders a status in one line that no terminal wraps; what is unknown
// is left out, and where it is too long, what matters least.
func statusText(s progress.Status) string {
	done, rate, left := "", "", ""
	switch {
	case s.Total > 0:
		done = fmt.Sprintf(" %s / %s", amount(float64(s.Done), s.Unit, false), amount(float64(s.Total), s.Unit, true))
	case s.Done > 0:
		done = " " + amount(float64(s.Done), s.Unit, true)
	}
	head := share(s)
	head += human.Clip(s.What, columns-len(head)-len(done)) + done
	if s.Rate > 0 {
		rate = ", " + amount(s.Rate, s.Unit, true) + "/s"
	}
	if s.ETA > 0 {
		left = ", " + human.Seconds(math.Ceil(s.ETA)) + " left"
	}
	text := head
	for _, longer := range []string{head + left, head + rate + left} {
		if utf8.RuneCountInString(longer) <= columns {
			text = longer
		}
	}
	for note := range strings.SplitSeq(s.Note, ", ") {
		if longer := text + ", " + note; note != "" && utf8.RuneCountInString(longer) <= columns {
			text = longer
		}
	}
	return text
}

// share is how much is done; never 100 % before the end.
func share(s progress.Status) string {
	switch {
	case s.Whole > 0:
		return fmt.Sprintf("[%3d%%] ", int(min(s.Whole, 1)*100))
	case s.Total <= 0:
		return "[ ..%] "
	}
	return fmt.Sprintf("[%3d%%] ", max(0, min(s.Done*100/s.Total, 100)))
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
