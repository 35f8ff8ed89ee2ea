package database

import (
	"encoding/binary"
	"math"
	"time"
)

// floatOf and timeOf read canonical values (package digest).
func floatOf(v []byte) float64 { return math.Float64frombits(binary.BigEndian.Uint64(v)) }

func timeOf(v []byte) string {
	return stampText(time.UnixMicro(int64(binary.BigEndian.Uint64(v))))
}
