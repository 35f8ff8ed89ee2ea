package schema

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Row is one row by column name. The accessors read what either storage returns for the same meaning:
// time as text or timestamp, flag as number or boolean, JSON as text or bytes.
type Row map[string]any

// Text returns a column as text; NULL is "". A timestamp is spelt as CIDX's API does.
func (r Row) Text(col string) string {
	switch v := r[col].(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return string(v)
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.999999-07:00")
	}
	return fmt.Sprint(r[col])
}

// Value returns text, or nil for NULL, ready for JSON.
func (r Row) Value(col string) any {
	if r[col] == nil {
		return nil
	}
	return r.Text(col)
}

// Int returns a number; anything else is 0.
func (r Row) Int(col string) int64 {
	switch v := r[col].(type) {
	case int64:
		return v
	case int32:
		return int64(v)
	case float64:
		return int64(v)
	}
	n, _ := strconv.ParseInt(r.Text(col), 10, 64)
	return n
}

// Flag returns a boolean: true, or a number other than 0.
func (r Row) Flag(col string) bool {
	if b, ok := r[col].(bool); ok {
		return b
	}
	return r.Int(col) != 0 || strings.EqualFold(r.Text(col), "true")
}

// Time returns an instant; naive text is UTC. ok is false for NULL and for text that is no time.
func (r Row) Time(col string) (at time.Time, ok bool) {
	if t, is := r[col].(time.Time); is {
		return t, true
	}
	text := strings.Replace(strings.TrimSpace(r.Text(col)), " ", "T", 1)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && f > 0 {
		return time.UnixMicro(int64(f * 1e6)), true
	}
	return time.Time{}, false
}
