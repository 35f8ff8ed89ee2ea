package judge

import (
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"time"
)

var (
	timeForm  = regexp.MustCompile(`^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d(?::?\d\d(?::?\d\d)?)?)?$`)
	epochForm = regexp.MustCompile(`^-?\d+(\.\d+)?$`)
)

// parseLiteTime reads every spelling of time that CIDX writes into SQLite:
// ISO with T or a space, with an offset, Z or neither (then zone counts), and
// seconds since 1970 as text or number. rounded says that PostgreSQL's
// microseconds cannot hold it exactly.
func parseLiteTime(v liteValue, zone *time.Location) (t time.Time, rounded bool, err error) {
	switch {
	case v.class == 'i':
		return time.Unix(v.whole, 0), false, nil
	case v.class == 'r':
		return epochTime(strconv.FormatFloat(v.real, 'f', -1, 64))
	case v.class != 't':
		return t, false, fmt.Errorf("storage class is no time")
	case epochForm.MatchString(v.text):
		return epochTime(v.text)
	}
	return civilTime(v.text, zone)
}

func epochTime(text string) (time.Time, bool, error) {
	seconds, ok := new(big.Rat).SetString(text)
	if !ok {
		return time.Time{}, false, fmt.Errorf("not a time")
	}
	nanos := new(big.Rat).Mul(seconds, big.NewRat(1e9, 1))
	whole := new(big.Int).Quo(nanos.Num(), nanos.Denom())
	return time.Unix(0, whole.Int64()), true, nil
}

func civilTime(text string, zone *time.Location) (time.Time, bool, error) {
	m := timeForm.FindStringSubmatch(text)
	if m == nil {
		return time.Time{}, false, fmt.Errorf("not a time")
	}
	n := func(i int) int {
		value, _ := strconv.Atoi(m[i]) // digits or empty, by the form
		return value
	}
	fraction := (m[7] + "000000000")[:9]
	nanos, _ := strconv.Atoi(fraction)
	if m[8] != "" {
		offset, err := offsetOf(m[8])
		if err != nil {
			return time.Time{}, false, err
		}
		zone = time.FixedZone("", offset)
	}
	t := time.Date(n(1), time.Month(n(2)), n(3), n(4), n(5), n(6), nanos, zone)
	if t.Month() != time.Month(n(2)) || t.Day() != n(3) && n(4) < 24 {
		return t, false, fmt.Errorf("no such day")
	}
	return t, len(m[7]) > 6, nil
}

func offsetOf(text string) (int, error) {
	if text == "Z" {
		return 0, nil
	}
	digits := regexp.MustCompile(`\d\d`).FindAllString(text, -1)
	seconds, unit := 0, 3600
	for _, d := range digits {
		n, err := strconv.Atoi(d)
		if err != nil {
			return 0, err
		}
		seconds, unit = seconds+n*unit, unit/60
	}
	if text[0] == '-' {
		seconds = -seconds
	}
	return seconds, nil
}

// parsePostgresTime reads PostgreSQL's ISO output of a session in UTC.
func parsePostgresTime(text string) (time.Time, error) {
	t, _, err := civilTime(text, time.UTC)
	if err != nil {
		return t, fmt.Errorf("PostgreSQL's value is no time: %q", text)
	}
	return t, nil
}
