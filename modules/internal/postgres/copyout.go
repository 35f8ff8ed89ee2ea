package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Tuples reads what COPY … TO STDOUT (FORMAT binary) sends and calls Row with
// the fields of every tuple, nil for NULL. The fields are valid during the call
// only. It is an io.Writer: give it to CopyTo, then call Close.
type Tuples struct {
	Row    func(fields [][]byte) error
	fields [][]byte
	rest   []byte // an incomplete tuple
	begun  bool
	ended  bool
}

// copySignature starts a binary COPY (PostgreSQL, COPY, "Binary Format").
const copySignature = "PGCOPY\n\xff\r\n\x00"

// Write takes the next bytes of the stream.
func (t *Tuples) Write(p []byte) (int, error) {
	data := p
	if len(t.rest) > 0 {
		t.rest = append(t.rest, p...)
		data = t.rest
	}
	used, err := t.consume(data)
	if err != nil {
		return 0, err
	}
	t.rest = append(t.rest[:0], data[used:]...)
	return len(p), nil
}

// Close reports whether the stream was complete.
func (t *Tuples) Close() error {
	if !t.ended || len(t.rest) > 0 {
		return errors.New("read binary COPY: stream ends early")
	}
	return nil
}

func (t *Tuples) consume(data []byte) (used int, err error) {
	if !t.begun {
		const header = len(copySignature) + 8
		if len(data) < header {
			return 0, nil
		}
		if !bytes.HasPrefix(data, []byte(copySignature)) {
			return 0, errors.New("read binary COPY: wrong signature")
		}
		extension := int(binary.BigEndian.Uint32(data[header-4:]))
		if len(data) < header+extension {
			return 0, nil
		}
		t.begun, used = true, header+extension
	}
	for !t.ended {
		n, ok, err := t.tuple(data[used:])
		if err != nil || !ok {
			return used, err
		}
		used += n
	}
	return used, nil
}

// tuple reads one tuple; ok is false if it is not complete yet.
func (t *Tuples) tuple(data []byte) (used int, ok bool, err error) {
	if len(data) < 2 {
		return 0, false, nil
	}
	count := int(int16(binary.BigEndian.Uint16(data)))
	used = 2
	if count < 0 {
		t.ended = true
		return used, true, nil
	}
	t.fields = t.fields[:0]
	for range count {
		if len(data) < used+4 {
			return 0, false, nil
		}
		size := int(int32(binary.BigEndian.Uint32(data[used:])))
		used += 4
		if size < 0 {
			t.fields = append(t.fields, nil)
			continue
		}
		if len(data) < used+size {
			return 0, false, nil
		}
		t.fields = append(t.fields, data[used:used+size:used+size])
		used += size
	}
	if err := t.Row(t.fields); err != nil {
		return 0, false, fmt.Errorf("row of binary COPY: %w", err)
	}
	return used, true, nil
}
