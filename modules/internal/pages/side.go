package pages

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"

	"cidx-cluster/modules/internal/regular"
	"cidx-cluster/modules/internal/sqlite"
)

// errPage is for a page that is not what its place in the tree asks for.
var errPage = errors.New("a page of the database is not understood")

// side is one of the two copies.
type side struct {
	conn  *sqlite.Conn
	one   *sqlite.Rows // reads a single page
	form  form
	count int64
}

// form is what says how the bytes of a page are to be read.
type form struct {
	size, reserved int64
	encoding       uint32 // of texts
}

func newSide(conn *sqlite.Conn) (*side, error) {
	s := &side{conn: conn}
	rows, err := conn.Query("SELECT data, (SELECT page_count FROM pragma_page_count) FROM sqlite_dbpage WHERE pgno = 1")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	if rows.Next() {
		head := rows.Value(0).Bytes
		s.form = form{int64(len(head)), int64(head[20]), binary.BigEndian.Uint32(head[56:])}
		s.count = rows.Value(1).Int
	}
	return s, rows.Err()
}

func (s *side) close() {
	if s != nil && s.one != nil {
		s.one.Close()
	}
}

// page returns a page; the bytes are valid until the next call.
func (s *side) page(number int64) (data []byte, err error) {
	if s.one == nil {
		if s.one, err = s.conn.Query("SELECT data FROM sqlite_dbpage WHERE pgno = ?", sqlite.IntegerValue(number)); err != nil {
			return nil, err
		}
	} else if err := s.one.Again(sqlite.IntegerValue(number)); err != nil {
		return nil, err
	}
	if !s.one.Next() {
		if err := s.one.Err(); err != nil {
			return nil, err
		}
		return nil, errPage
	}
	return s.one.Value(0).Bytes, nil
}

// table returns where a table begins, 0 if there is none, and how it is defined.
func (s *side) table(name string) (root int64, sql string, err error) {
	rows, err := s.conn.Query("SELECT rootpage, sql FROM sqlite_schema WHERE type = 'table' AND name = ?", sqlite.TextValue(name))
	if err != nil {
		return 0, "", err
	}
	defer rows.Close()
	if rows.Next() {
		root, sql = rows.Int(0), rows.Text(1)
	}
	return root, sql, rows.Err()
}

// mark puts the pages of all trees, and the free ones, into known.
func (s *side) mark(ctx context.Context, known bits) error {
	rows, err := s.conn.Query("SELECT 1 UNION ALL SELECT rootpage FROM sqlite_schema WHERE rootpage > 0")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() && ctx.Err() == nil {
		if _, err := s.walk(rows.Int(0), known, func([]int64) {}); err != nil {
			return err
		}
	}
	if err := errors.Join(rows.Err(), ctx.Err()); err != nil {
		return err
	}
	data, err := s.page(1)
	if err != nil {
		return err
	}
	trunk := int64(binary.BigEndian.Uint32(data[32:]))
	for range s.count {
		if trunk < 1 || trunk > s.count {
			break
		}
		known.put(trunk, true)
		if data, err = s.page(trunk); err != nil {
			return err
		}
		free := min(int(binary.BigEndian.Uint32(data[4:])), len(data)/4-2)
		for i := range free {
			known.put(int64(binary.BigEndian.Uint32(data[8+4*i:])), true)
		}
		trunk = int64(binary.BigEndian.Uint32(data))
	}
	return nil
}

// logged puts the pages that the log holds into named. Not all of it may count.
func (s *side) logged(named bits) error {
	const head, frameHead = 32, 24
	log, err := regular.Open(s.conn.Path() + "-wal")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer log.Close()
	var b [head]byte
	if _, err := log.ReadAt(b[:], 0); err == io.EOF {
		return nil
	}
	if int64(binary.BigEndian.Uint32(b[8:])) != s.form.size {
		return errPage
	}
	for at := int64(head); err == nil; at += frameHead + s.form.size {
		if _, err = log.ReadAt(b[:4], at); err == nil {
			named.put(int64(binary.BigEndian.Uint32(b[:])), true)
		}
	}
	if err == io.EOF {
		return nil
	}
	return err
}
