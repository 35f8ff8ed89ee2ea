package digest

import (
	"encoding/binary"
	"math/bits"
)

// hash spreads a row over 128 bits: two lanes of folded 64×64→128-bit
// multiplications, each over every byte of the row. It is made for speed (a
// tenth of MD5's time, and MD5 was a quarter of ours) and against accidents;
// nobody attacks these digests. The constants are the fractional parts of the
// square roots of the first primes, as in SHA-512.
func hash(b []byte) (hi, lo uint64) {
	n := uint64(len(b))
	s, t := k0^n, k1^n
	for ; len(b) >= 16; b = b[16:] {
		x, y := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
		s, t = fold(x^k2, y^s), fold(y^k3, x^t)
	}
	if len(b) > 0 {
		var last [16]byte
		copy(last[:], b)
		x, y := binary.LittleEndian.Uint64(last[:]), binary.LittleEndian.Uint64(last[8:])
		s, t = fold(x^k2, y^s), fold(y^k3, x^t)
	}
	return fold(s^k4, t^k5^n), fold(t^k6, s^k7^n)
}

const (
	k0 = 0x6a09e667f3bcc908
	k1 = 0xbb67ae8584caa73b
	k2 = 0x3c6ef372fe94f82b
	k3 = 0xa54ff53a5f1d36f1
	k4 = 0x510e527fade682d1
	k5 = 0x9b05688c2b3e6c1f
	k6 = 0x1f83d9abfb41bd6b
	k7 = 0x5be0cd19137e2179
)

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
