package manifest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"sync"
)

// records is a file of a manifest: the magic word, then one record after the
// other: length of the body, body (path, stats and flags, each with its length),
// checksum.
type records struct {
	f    *os.File // nil: there is none
	size int64
}

var errBroken = errors.New("manifest record is damaged")

const recordHead, recordTail = 4, 4

func record(path, stats, flags []byte) []byte {
	b := make([]byte, recordHead, recordHead+len(path)+len(stats)+len(flags)+16)
	for _, part := range [][]byte{path, stats, flags} {
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)-recordHead))
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[recordHead:]))
}

// parsed is a record in a buffer.
type parsed struct{ path, stats, flags []byte }

// parse reads a record without its head; it keeps parts of it.
func parse(b []byte) (p parsed, err error) {
	body := b[:len(b)-recordTail]
	rest := body
	for _, part := range []*[]byte{&p.path, &p.stats, &p.flags} {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			return p, errBroken
		}
		*part, rest = rest[n:n+int(length)], rest[n+int(length):]
	}
	if len(rest) > 0 || binary.LittleEndian.Uint32(b[len(body):]) != crc32.ChecksumIEEE(body) {
		return p, errBroken
	}
	return p, nil
}

// group is the record out of its buffer.
func (p parsed) group() *Group {
	all := append(append(make([]byte, 0, len(p.stats)+len(p.flags)), p.stats...), p.flags...)
	return &Group{Stats: all[:len(p.stats):len(p.stats)], Flags: all[len(p.stats):]}
}

// each reads the first size bytes, until f returns an error; a record is there
// until f returns. whole is false where a damaged record ends the reading.
func (r records) each(size int64, f func(offset int64, p parsed) error) (whole bool, err error) {
	if r.f == nil || size == 0 {
		return true, nil
	}
	in := bufio.NewReaderSize(io.NewSectionReader(r.f, 0, size), 256<<10)
	head, b := make([]byte, len(magic)), []byte(nil)
	if _, err := io.ReadFull(in, head); err != nil || string(head) != magic {
		return false, onlyFault(err)
	}
	for offset := int64(len(magic)); offset < size; {
		if _, err := io.ReadFull(in, head[:recordHead]); err != nil {
			return false, onlyFault(err)
		}
		length := int64(binary.LittleEndian.Uint32(head)) + recordTail
		if offset+recordHead+length > size {
			return false, nil
		}
		b = slices.Grow(b[:0], int(length))[:length]
		if _, err := io.ReadFull(in, b); err != nil {
			return false, onlyFault(err)
		}
		p, err := parse(b)
		if err != nil {
			return false, nil
		}
		if err := f(offset, p); err != nil {
			return true, err
		}
		offset += recordHead + length
	}
	return true, nil
}

// onlyFault is an error of reading; the end of a file is none.
func onlyFault(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// guess is what most records are shorter than.
const guess = 1 << 10

var guesses = sync.Pool{New: func() any { return new([guess]byte) }}

// at reads one record.
func (r records) at(offset int64) (path string, g *Group, err error) {
	buffer := guesses.Get().(*[guess]byte)
	defer guesses.Put(buffer)
	b := buffer[:min(guess, r.size-offset)]
	if _, err := r.f.ReadAt(b, offset); err != nil {
		return "", nil, err
	}
	if len(b) < recordHead {
		return "", nil, errBroken
	}
	length := int64(binary.LittleEndian.Uint32(b)) + recordTail
	switch {
	case offset+recordHead+length > r.size:
		return "", nil, errBroken
	case recordHead+length > int64(len(b)):
		b = append(make([]byte, 0, recordHead+length), b...)[:recordHead+length]
		if _, err := r.f.ReadAt(b[guess:], offset+guess); err != nil {
			return "", nil, err
		}
	}
	p, err := parse(b[recordHead : recordHead+length])
	if err != nil {
		return "", nil, err
	}
	return string(p.path), p.group(), nil
}

// Spool is a file of records that has no name, for what is too much to keep in
// memory: it goes with its process. Several goroutines may read, while none adds.
type Spool struct {
	dir string
	in  records
	out *bufio.Writer
}

// NewSpool is a spool whose file lies in dir; it is made with the first record.
func NewSpool(dir string) *Spool { return &Spool{dir: dir} }

// Add appends a record and returns its place.
func (s *Spool) Add(path string, stats, flags []byte) (place int64, err error) {
	if s.in.f == nil {
		f, err := os.CreateTemp(s.dir, ".plan-*")
		if err != nil {
			return 0, err
		}
		if err := os.Remove(f.Name()); err != nil {
			return 0, errors.Join(err, f.Close())
		}
		s.in.f, s.out = f, bufio.NewWriterSize(f, 64<<10)
		n, _ := s.out.WriteString(magic) // a fault shows with the next bytes
		s.in.size = int64(n)
	}
	place = s.in.size
	n, err := s.out.Write(record([]byte(path), stats, flags))
	s.in.size += int64(n)
	return place, err
}

// Each calls f for every record, in the order in which they were added, until it
// returns an error.
func (s *Spool) Each(f func(place int64, path string, g *Group) error) error {
	if err := s.Flush(); err != nil {
		return err
	}
	whole, err := s.in.each(s.in.size, func(place int64, p parsed) error { return f(place, string(p.path), p.group()) })
	if err == nil && !whole {
		return errBroken
	}
	return err
}

// At reads the record at a place.
func (s *Spool) At(place int64) (path string, g *Group, err error) {
	if err := s.Flush(); err != nil {
		return "", nil, err
	}
	return s.in.at(place)
}

// Flush writes what was added so far.
func (s *Spool) Flush() error {
	if s.out == nil {
		return nil
	}
	return s.out.Flush()
}

// Close gives the room back.
func (s *Spool) Close() {
	if s.in.f != nil {
		s.in.f.Close()
		*s = Spool{dir: s.dir}
	}
}
