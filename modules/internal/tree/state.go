package tree

import (
	"encoding/binary"
	"errors"
	"slices"
)

// Encode renders what makes a folder's state: two folders are in the same state
// when the bytes are equal. Of folders within, only the name counts; of
// symbolic links the target and mtime; of files everything but the device. The
// root's ctime does not count: it changes when the whole tree is renamed.
func (d *Dir) Encode() []byte {
	b := make([]byte, 0, 32+48*len(d.Entries))
	b = appendOwner(b, &d.Self)
	b = binary.AppendVarint(b, d.Self.Mtime)
	b = binary.AppendVarint(b, d.ctime()-d.Self.Mtime)
	b = binary.AppendUvarint(b, uint64(len(d.Entries)))
	for i := range d.Entries {
		b = appendEntry(b, &d.Entries[i])
	}
	return b
}

func (d *Dir) ctime() int64 {
	if d.Path == "" {
		return 0
	}
	return d.Self.Ctime
}

func appendOwner(b []byte, e *Entry) []byte {
	b = binary.AppendUvarint(b, uint64(e.Mode))
	b = binary.AppendUvarint(b, uint64(e.UID))
	return binary.AppendUvarint(b, uint64(e.GID))
}

func appendEntry(b []byte, e *Entry) []byte {
	b = appendText(b, e.Name)
	switch {
	case e.IsDir():
		return binary.AppendUvarint(b, uint64(e.Type()))
	case e.IsSymlink():
		b = appendOwner(b, e)
		b = binary.AppendVarint(b, e.Mtime)
		return appendText(b, e.Link)
	}
	b = appendOwner(b, e)
	b = binary.AppendUvarint(b, uint64(e.Size))
	b = binary.AppendVarint(b, e.Mtime)
	b = binary.AppendVarint(b, e.Ctime-e.Mtime)
	b = binary.AppendUvarint(b, e.Ino)
	return binary.AppendUvarint(b, e.Nlink)
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// Decode is the reverse of Encode. Entries of type folder carry only name and
// type.
func Decode(path string, stats []byte) (*Dir, error) {
	r := reader{rest: stats}
	d := &Dir{Path: path}
	r.owner(&d.Self)
	d.Self.Mtime = r.varint()
	d.Self.Ctime = d.Self.Mtime + r.varint()
	n := r.uvarint()
	if n > uint64(len(stats)) {
		return nil, errBroken
	}
	d.Entries = make([]Entry, 0, n)
	for range n {
		d.Entries = append(d.Entries, r.entry())
	}
	if r.broken || len(r.rest) > 0 {
		return nil, errBroken
	}
	return d, nil
}

var errBroken = errors.New("record of a folder is damaged")

type reader struct {
	rest   []byte
	broken bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	return r.take(v, n)
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	return int64(r.take(uint64(v), n))
}

func (r *reader) take(v uint64, n int) uint64 {
	if n <= 0 {
		r.broken, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.broken, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) owner(e *Entry) {
	e.Mode, e.UID, e.GID = uint32(r.uvarint()), uint32(r.uvarint()), uint32(r.uvarint())
}

func (r *reader) entry() (e Entry) {
	e.Name = string(r.bytes())
	e.Mode = uint32(r.uvarint())
	if e.IsDir() {
		return e
	}
	e.UID, e.GID = uint32(r.uvarint()), uint32(r.uvarint())
	if e.IsSymlink() {
		e.Mtime = r.varint()
		e.Link = string(r.bytes())
		return e
	}
	e.Size = int64(r.uvarint())
	e.Mtime = r.varint()
	e.Ctime = e.Mtime + r.varint()
	e.Ino, e.Nlink = r.uvarint(), r.uvarint()
	return e
}

// SameSource reports whether two sightings of an entry are of one and the same
// state: for files inode and ctime included, so that a rewrite of the same size
// within the same second is seen.
func SameSource(a, b *Entry) bool {
	if a.Mode != b.Mode {
		return a.IsDir() && b.IsDir()
	}
	switch {
	case a.IsDir():
		return true
	case a.IsSymlink():
		return a.UID == b.UID && a.GID == b.GID && a.Mtime == b.Mtime && a.Link == b.Link
	}
	return a.UID == b.UID && a.GID == b.GID && a.Size == b.Size && a.Mtime == b.Mtime &&
		a.Ctime == b.Ctime && a.Ino == b.Ino && a.Nlink == b.Nlink
}

// Find returns the index of the entry of that name, or -1.
func (d *Dir) Find(name string) int {
	i, ok := slices.BinarySearchFunc(d.Entries, name, func(e Entry, name string) int {
		switch {
		case e.Name < name:
			return -1
		case e.Name > name:
			return 1
		}
		return 0
	})
	if !ok {
		return -1
	}
	return i
}
