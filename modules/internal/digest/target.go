package digest

import (
	"encoding/binary"
	"fmt"
	"math"

	"cidx-cluster/modules/internal/convert"
)

// target2000 is PostgreSQL's zero of time in microseconds since 1970: the
// 10,957 days from 1970-01-01 to 2000-01-01.
const target2000 = 10957 * 24 * 60 * 60 * 1_000_000

// Target brings a field as PostgreSQL sends it in binary into canonical form;
// nil is NULL.
func Target(dst []byte, c *Column, field []byte) ([]byte, error) {
	if field == nil {
		return appendNull(dst), nil
	}
	switch c.Type.Kind {
	case convert.Text, convert.Varchar, convert.JSON, convert.Bytea:
		return appendField(dst, field), nil
	case convert.JSONB:
		if len(field) == 0 || field[0] != 1 {
			return dst, fmt.Errorf("decode jsonb: unknown version")
		}
		return appendField(dst, field[1:]), nil
	case convert.Bool:
		if len(field) == 1 {
			return appendBool(dst, field[0] != 0), nil
		}
	case convert.Int2, convert.Int4, convert.Int8:
		if n, ok := signed(field); ok {
			return appendNumber(dst, uint64(n)), nil
		}
	case convert.Float4:
		if len(field) == 4 {
			f := math.Float32frombits(binary.BigEndian.Uint32(field))
			return appendNumber(dst, math.Float64bits(float64(f))), nil
		}
	case convert.Float8:
		if len(field) == 8 {
			return appendNumber(dst, binary.BigEndian.Uint64(field)), nil
		}
	case convert.Timestamptz, convert.Timestamp:
		if len(field) == 8 {
			n, _ := signed(field)
			return appendNumber(dst, uint64(n+target2000)), nil
		}
	case convert.Date:
		if len(field) == 4 {
			n, _ := signed(field)
			return appendNumber(dst, uint64((n+10957)*86400*1_000_000)), nil
		}
	}
	return dst, fmt.Errorf("decode %s: %d bytes", c.Type.Name, len(field))
}

// signed reads a two's complement number of 2, 4 or 8 bytes.
func signed(field []byte) (int64, bool) {
	switch len(field) {
	case 2:
		return int64(int16(binary.BigEndian.Uint16(field))), true
	case 4:
		return int64(int32(binary.BigEndian.Uint32(field))), true
	case 8:
		return int64(binary.BigEndian.Uint64(field)), true
	}
	return 0, false
}
