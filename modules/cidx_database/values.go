package database

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"
)

// floatOf and timeOf read canonical values (package digest).
func floatOf(v []byte) float64 { return math.Float64frombits(binary.BigEndian.Uint64(v)) }

func timeOf(v []byte) string {
	return stampText(time.UnixMicro(int64(binary.BigEndian.Uint64(v))))
}

// number is a float as JSON can hold it: infinities as text.
func number(f float64) any {
	if math.IsInf(f, 0) {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return f
}
