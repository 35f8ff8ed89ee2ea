package load

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"

	"cidx-cluster/modules/internal/convert"
	"cidx-cluster/modules/internal/digest"
	"cidx-cluster/modules/internal/sqlite"
)

// Encoder turns rows into tuples of a binary COPY, and sums up their digest.
type Encoder struct {
	Columns []Column
	sending bool // PostgreSQL sees the rows, and refuses text that is no UTF-8 itself
	source  digest.Source
	canon   []byte
	Sum     digest.Sum
}

// NewEncoder has columns of its own: they count times whose zone is a guess.
func NewEncoder(t *Table, sending bool) Encoder {
	return Encoder{Columns: slices.Clone(t.Columns), sending: sending}
}

var missing = &convert.Fault{Reason: "NULL where PostgreSQL requires a value", Fix: "set a value, or delete the row"}

// Append appends one tuple to dst and counts the row. On a fault dst comes back
// as it was.
func (e *Encoder) Append(dst []byte, row []sqlite.Value) (out []byte, fault *convert.Fault) {
	if fault = e.canonical(row); fault != nil {
		return dst, fault
	}
	start := len(dst)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(row)))
	for i := range row {
		c := &e.Columns[i]
		if c.NotNull && row[i].Class == sqlite.Null {
			return dst[:start], missing
		}
		if e.sending && c.Type.Kind == convert.Text && row[i].Class == sqlite.Text {
			dst = binary.BigEndian.AppendUint32(dst, uint32(len(row[i].Bytes)))
			dst = append(dst, row[i].Bytes...)
			continue
		}
		if dst, fault = c.Append(dst, &row[i]); fault != nil {
			return dst[:start], fault
		}
	}
	e.Sum.Add(e.canon)
	return dst, nil
}

// faults are the values of a row that do not fit, by the column's index.
func (e *Encoder) faults(row []sqlite.Value) []*convert.Fault {
	faults := make([]*convert.Fault, len(row))
	for i := range row {
		c := &e.Columns[i]
		if c.NotNull && row[i].IsNull() {
			faults[i] = missing
		} else if _, faults[i] = e.source.Append(nil, &c.Column, &row[i]); faults[i] == nil {
			_, faults[i] = c.Append(nil, &row[i])
		}
	}
	return faults
}

// canonical fills canon with the row's canonical form. It also is what checks
// JSON, so that documents are read once.
func (e *Encoder) canonical(row []sqlite.Value) (fault *convert.Fault) {
	e.canon = e.canon[:0]
	for i := range row {
		if e.canon, fault = e.source.Append(e.canon, &e.Columns[i].Column, &row[i]); fault != nil {
			return fault
		}
	}
	return nil
}

// ErrMisfit ends a COPY at the first value that does not fit. Everything else
// that does not is then found by the search for problems.
var ErrMisfit = errors.New("a value does not fit")

// chunk is how many bytes are encoded before they are handed over.
const chunk = 64 << 10

// Stream is a table as the bytes of a binary COPY.
type Stream struct {
	ctx   context.Context
	enc   Encoder // of the rows of a reader
	meter *Meter
	next  func(dst []byte) ([]byte, error) // appends a tuple, or ends with io.EOF
	buf   []byte
	from  int
	ended bool
	err   error // the reader's

	mu   sync.Mutex // CopyFrom may return while its goroutine still reads
	quit bool
}

// errQuit ends a Read that comes after End.
var errQuit = errors.New("the copy has ended")

// End waits for a running Read and forbids further ones. What the reader found
// goes before the error that the copy ended with.
func (s *Stream) End(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quit = true
	return cmp.Or(s.err, err)
}

// Copied is a binary COPY of encoded tuples.
func Copied(tuples []byte) io.Reader {
	return io.MultiReader(bytes.NewReader(copyHeader), bytes.NewReader(tuples), bytes.NewReader(trailer))
}

// A binary COPY begins with a header and ends with a tuple of -1 fields.
var (
	copyHeader = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	trailer    = []byte{0xff, 0xff}
)

// NewStream is the tuples that next appends; it ends with io.EOF.
func NewStream(ctx context.Context, m *Meter, next func(dst []byte) ([]byte, error)) *Stream {
	return &Stream{ctx: ctx, meter: m, next: next, buf: append(make([]byte, 0, 2*chunk), copyHeader...)}
}

// streamRows is all rows of a reader.
func streamRows(ctx context.Context, d *Reader, m *Meter) *Stream {
	s := NewStream(ctx, m, nil)
	s.enc = NewEncoder(d.t, true)
	s.next = func(dst []byte) ([]byte, error) {
		if !d.Next() {
			return dst, cmp.Or(d.Close(), io.EOF)
		}
		dst, fault := s.enc.Append(dst, d.Values())
		if fault != nil {
			return dst, ErrMisfit
		}
		return dst, nil
	}
	return s
}

// Read hands over what is encoded, and encodes more when nothing is left. It
// runs in the goroutine that writes to the socket, while the server works on
// what it has.
func (s *Stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quit {
		return 0, errQuit
	}
	if s.from == len(s.buf) || !s.ended && len(s.buf) < chunk {
		if s.from == len(s.buf) {
			s.buf, s.from = s.buf[:0], 0
		}
		if !s.ended {
			if err := s.fill(); err != nil {
				return 0, err
			}
		}
		if s.from == len(s.buf) {
			return 0, io.EOF
		}
	}
	n := copy(p, s.buf[s.from:])
	s.from += n
	return n, nil
}

func (s *Stream) fill() error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	for len(s.buf) < chunk {
		if s.buf, s.err = s.next(s.buf); errors.Is(s.err, io.EOF) {
			s.ended, s.err, s.buf = true, nil, append(s.buf, trailer...)
			break
		}
		if s.err != nil {
			return s.err
		}
	}
	s.meter.At(s.enc.Sum.Rows)
	return nil
}
