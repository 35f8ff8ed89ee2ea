package convert

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"

	"cidx-cluster/modules/internal/sqlite"
)

// epoch2000 is PostgreSQL's zero of time, in microseconds after 1970.
const epoch2000 = 946684800 * 1e6

func (c *Column) appendTime(dst []byte, v *sqlite.Value) ([]byte, *Fault) {
	micros, fault := c.time(v)
	if fault != nil {
		return dst, fault
	}
	micros -= epoch2000
	if c.Type.Kind != Date {
		return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8), uint64(micros)), nil
	}
	const day = 86400 * 1e6
	if micros%day != 0 {
		return dst, &Fault{Reason: "a time of day where PostgreSQL keeps a date", Fix: "set a date, YYYY-MM-DD", Show: true}
	}
	return binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 4), uint32(int32(micros/day))), nil
}

// wanted is the way out for what is no time.
const wanted = "set an ISO 8601 time such as 2026-01-02T03:04:05+00:00"

// time returns microseconds after 1970, UTC; for a column without a zone those
// of the UTC wall clock.
func (c *Column) time(v *sqlite.Value) (int64, *Fault) {
	if c.Epoch {
		if micros, ok := epoch(v); ok {
			return micros, nil
		}
	}
	if v.Class != sqlite.Text {
		return 0, &Fault{Reason: "not a time (stored as " + v.Class.String() + ")", Fix: wanted, Show: true}
	}
	wall, offset, zoned, ok := parseTime(v.Bytes)
	switch {
	case !ok && len(v.Bytes) == 0:
		return 0, &Fault{Reason: "empty text where a time should be", Fix: "set NULL or an ISO 8601 time"}
	case !ok:
		return 0, &Fault{Reason: "not a time", Fix: wanted, Show: true}
	case zoned:
		return wall - int64(offset)*1e6, nil
	case c.Type.Kind == Timestamptz && c.Zone != nil:
		micros, unique := Localize(wall, c.Zone)
		if !unique {
			c.Ambiguous++
		}
		return micros, nil
	case c.Type.Kind == Timestamptz && !c.UTC:
		c.Assumed++
	}
	return wall, nil
}

// epoch reads seconds since 1970 with up to six decimals, as a number or as
// text. Years 2000 to 2199 only: a larger number is in another unit.
func epoch(v *sqlite.Value) (int64, bool) {
	var f float64
	switch v.Class {
	case sqlite.Integer:
		f = float64(v.Int)
	case sqlite.Real:
		f = v.Real
	case sqlite.Text:
		var err error
		if f, err = strconv.ParseFloat(string(v.Bytes), 64); err != nil {
			return 0, false
		}
	}
	const from, to = 946684800, 7258118400
	if !(f >= from && f < to) {
		return 0, false
	}
	// As Python's datetime.fromtimestamp: to the nearest microsecond, half to even.
	whole := math.Floor(f)
	return int64(whole)*1e6 + int64(math.RoundToEven((f-whole)*1e6)), true
}

// Localize turns microseconds of a wall clock in zone into microseconds after
// 1970, as Python's datetime does with fold=0: of two possible moments the
// earlier one, and in a gap the offset before it. unique is false in both cases.
func Localize(wall int64, zone *time.Location) (micros int64, unique bool) {
	const day = 86400 * 1e6
	before, after := offsetAt(wall-day, zone), offsetAt(wall+day, zone)
	first, second := wall-before, wall-after
	firstFits, secondFits := offsetAt(first, zone) == before, offsetAt(second, zone) == after
	switch {
	case before == after:
		return first, firstFits
	case firstFits:
		return first, !secondFits
	case secondFits:
		return second, true
	}
	return first, false
}

// offsetAt is the offset of zone at a moment, in microseconds.
func offsetAt(micros int64, zone *time.Location) int64 {
	_, seconds := time.UnixMicro(micros).In(zone).Zone()
	return int64(seconds) * 1e6
}

// parseTime reads YYYY-MM-DD, optionally followed by T or a blank and
// HH:MM[:SS[.digits]] and Z or ±HH[[:]MM[[:]SS]]. Digits beyond microseconds
// must be zero. wall is in microseconds after 1970 by that wall clock.
func parseTime(b []byte) (wall int64, offset int32, zoned, ok bool) {
	if len(b) < 10 || b[4] != '-' || b[7] != '-' {
		return 0, 0, false, false
	}
	year, ok1 := digits(b[0:4])
	month, ok2 := digits(b[5:7])
	day, ok3 := digits(b[8:10])
	date := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if !ok1 || !ok2 || !ok3 || year == 0 || int(date.Month()) != month || date.Day() != day {
		return 0, 0, false, false // no such day: time.Date goes on into the next month
	}
	wall = date.Unix() * 1e6
	if len(b) == 10 {
		return wall, 0, false, true
	}
	if b[10] != 'T' && b[10] != ' ' {
		return 0, 0, false, false
	}
	clock, rest, ok := parseClock(b[11:])
	if !ok {
		return 0, 0, false, false
	}
	wall += clock
	if len(rest) == 0 {
		return wall, 0, false, true
	}
	offset, ok = parseOffset(rest)
	return wall, offset, true, ok
}

func parseClock(b []byte) (micros int64, rest []byte, ok bool) {
	if len(b) < 5 || b[2] != ':' {
		return 0, nil, false
	}
	hour, ok1 := digits(b[0:2])
	minute, ok2 := digits(b[3:5])
	if !ok1 || !ok2 || hour > 23 || minute > 59 {
		return 0, nil, false
	}
	micros, rest = int64(hour*3600+minute*60)*1e6, b[5:]
	if len(rest) == 0 || rest[0] != ':' {
		return micros, rest, true
	}
	if len(rest) < 3 {
		return 0, nil, false
	}
	second, ok := digits(rest[1:3])
	if !ok || second > 59 {
		return 0, nil, false
	}
	micros, rest = micros+int64(second)*1e6, rest[3:]
	if len(rest) == 0 || rest[0] != '.' {
		return micros, rest, true
	}
	rest = rest[1:]
	n, scale := 0, int64(100000)
	for ; n < len(rest) && rest[n] >= '0' && rest[n] <= '9'; n++ {
		if scale == 0 && rest[n] != '0' {
			return 0, nil, false
		}
		micros += int64(rest[n]-'0') * scale
		scale /= 10
	}
	return micros, rest[n:], n > 0
}

func parseOffset(b []byte) (seconds int32, ok bool) {
	if len(b) == 1 && b[0] == 'Z' {
		return 0, true
	}
	if len(b) < 3 || (b[0] != '+' && b[0] != '-') {
		return 0, false
	}
	sign, unit := 1, 3600
	if b[0] == '-' {
		sign = -1
	}
	total := 0
	for rest := b[1:]; ; {
		if len(rest) < 2 {
			return 0, false
		}
		n, ok := digits(rest[:2])
		if !ok || unit == 0 || (unit == 3600 && n > 23) || (unit < 3600 && n > 59) {
			return 0, false
		}
		total, unit, rest = total+n*unit, unit/60, rest[2:]
		if len(rest) == 0 {
			return int32(sign * total), true
		}
		if rest[0] == ':' {
			rest = rest[1:]
		}
	}
}

func digits(b []byte) (n int, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
