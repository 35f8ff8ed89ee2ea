package digest

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"cidx-cluster/modules/internal/convert"
	"cidx-cluster/modules/internal/sqlite"
)

// Source brings SQLite's values into canonical form. It is not safe for
// concurrent use.
type Source struct {
	json    convert.Normalizer
	scratch []byte
	layout  map[*Column]string // that fitted the column's last value
}

// Append appends one field. It fails only for JSON that is none; of every other
// value that convert refuses the result has no meaning.
func (s *Source) Append(dst []byte, c *Column, v *sqlite.Value) ([]byte, *convert.Fault) {
	if v.Class == sqlite.Null {
		return appendNull(dst), nil
	}
	switch c.Type.Kind {
	case convert.JSONB:
		if v.Class != sqlite.Text {
			return dst, convert.Misfit(v, "JSON text", "store the value as TEXT")
		}
		var fault *convert.Fault
		if s.scratch, fault = s.json.Append(s.scratch[:0], v.Bytes); fault != nil {
			return dst, fault
		}
		return appendField(dst, s.scratch), nil
	case convert.Bool:
		return appendBool(dst, v.Int == 1 || v.Real == 1 && v.Class == sqlite.Real), nil
	case convert.Int2, convert.Int4, convert.Int8:
		return appendNumber(dst, uint64(wholeNumber(v))), nil
	case convert.Float8:
		return appendNumber(dst, math.Float64bits(float(v))), nil
	case convert.Float4:
		return appendNumber(dst, math.Float64bits(float64(float32(float(v))))), nil
	case convert.Timestamptz, convert.Timestamp, convert.Date:
		return appendNumber(dst, uint64(s.moment(c, v))), nil
	}
	if v.Class == sqlite.Integer {
		s.scratch = strconv.AppendInt(s.scratch[:0], v.Int, 10)
		return appendField(dst, s.scratch), nil
	}
	return appendField(dst, v.Bytes), nil
}

func wholeNumber(v *sqlite.Value) int64 {
	switch v.Class {
	case sqlite.Integer:
		return v.Int
	case sqlite.Real:
		return int64(v.Real)
	}
	n, _ := strconv.ParseInt(string(v.Bytes), 10, 64)
	return n
}

func float(v *sqlite.Value) float64 {
	if v.Class == sqlite.Integer {
		return float64(v.Int)
	}
	return v.Real
}

// layouts are the spellings of time, as the standard library reads them: a
// second opinion on convert's own parser. A fraction may follow any seconds.
var layouts = []string{
	time.RFC3339,
	"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02T15:04:05",
	"2006-01-02", "2006-01-02 15:04", "2006-01-02T15:04",
	"2006-01-02T15:04Z07:00", "2006-01-02 15:04Z07:00",
	"2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z0700", "2006-01-02T15:04Z0700", "2006-01-02 15:04Z0700",
	"2006-01-02T15:04:05Z07", "2006-01-02 15:04:05Z07", "2006-01-02T15:04Z07", "2006-01-02 15:04Z07",
	"2006-01-02T15:04:05Z07:00:00", "2006-01-02 15:04:05Z07:00:00", "2006-01-02T15:04Z07:00:00", "2006-01-02 15:04Z07:00:00",
	"2006-01-02T15:04:05Z070000", "2006-01-02 15:04:05Z070000", "2006-01-02T15:04Z070000", "2006-01-02 15:04Z070000",
}

// moment returns microseconds since 1970.
func (s *Source) moment(c *Column, v *sqlite.Value) int64 {
	if c.Epoch {
		if micros, ok := seconds(v); ok {
			return micros
		}
	}
	text := unsafe.String(unsafe.SliceData(v.Bytes), len(v.Bytes)) // time.Parse keeps none of it
	if layout, ok := s.layout[c]; ok {
		if t, err := time.Parse(layout, text); err == nil {
			return instant(c, layout, t)
		}
	}
	for _, layout := range layouts {
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		if s.layout == nil {
			s.layout = map[*Column]string{}
		}
		s.layout[c] = layout
		return instant(c, layout, t)
	}
	return math.MinInt64
}

func instant(c *Column, layout string, t time.Time) int64 {
	if c.Type.Kind == convert.Timestamptz && c.Zone != nil && !strings.Contains(layout, "Z07") {
		micros, _ := convert.Localize(t.UnixMicro(), c.Zone)
		return micros
	}
	return t.UnixMicro()
}

// seconds reads an epoch. Rounding its decimal form to six places and reading it
// back is the independent way to what convert computes with floats.
func seconds(v *sqlite.Value) (int64, bool) {
	f := v.Real
	switch v.Class {
	case sqlite.Integer:
		return v.Int * 1e6, true
	case sqlite.Text:
		var err error
		if f, err = strconv.ParseFloat(string(v.Bytes), 64); err != nil {
			return 0, false
		}
	}
	whole, fraction, _ := strings.Cut(strconv.FormatFloat(f, 'f', 6, 64), ".")
	n, err := strconv.ParseInt(whole+fraction, 10, 64)
	return n, err == nil
}
