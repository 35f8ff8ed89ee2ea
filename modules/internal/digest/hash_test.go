package digest

import (
	"encoding/binary"
	"math/bits"
	"testing"
)

func TestHashHasNoCollisionsAmongSimilarRows(t *testing.T) {
	const rows = 200_000
	his, los := make(map[uint64]bool, rows), make(map[uint64]bool, rows)
	add := func(b []byte) {
		hi, lo := hash(b)
		if his[hi] || los[lo] {
			t.Fatalf("collision in one half at %x", b)
		}
		his[hi], los[lo] = true, true
	}
	row := make([]byte, 40)
	for i := range rows / 2 {
		binary.LittleEndian.PutUint64(row[i%4*8:], uint64(i+1))
		add(row)
	}
	for i := range 1000 { // zeros of every length
		add(make([]byte, i))
	}
	clear(row)
	for i := range rows / 4 {
		binary.BigEndian.PutUint32(row[17:], uint32(i+1))
		add(row[:33])
	}
}

func TestHashSpreadsEveryBit(t *testing.T) {
	row := []byte("users|ann|2026-01-02T03:04:05|some text that is longer than two blocks")
	hi, lo := hash(row)
	flipped, least := 0, 128
	for i := range len(row) * 8 {
		row[i/8] ^= 1 << (i % 8)
		h, l := hash(row)
		row[i/8] ^= 1 << (i % 8)
		n := bits.OnesCount64(h^hi) + bits.OnesCount64(l^lo)
		flipped, least = flipped+n, min(least, n)
	}
	if mean := float64(flipped) / float64(len(row)*8); mean < 62 || mean > 66 || least < 35 {
		t.Errorf("one bit of the row flips %.1f bits of the hash on average, %d at least", mean, least)
	}
}

func BenchmarkHash(b *testing.B) {
	row := make([]byte, 250)
	b.SetBytes(int64(len(row)))
	for b.Loop() {
		hash(row)
	}
}
