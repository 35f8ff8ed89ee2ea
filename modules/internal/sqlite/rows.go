package sqlite

import (
	"fmt"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// Rows is a running statement.
type Rows struct {
	c     *Conn
	stmt  uintptr
	width int
	err   error
}

// Query starts one statement.
func (c *Conn) Query(sql string, args ...Value) (*Rows, error) {
	text, err := libc.CString(sql)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", c.name, err)
	}
	defer libc.Xfree(c.tls, text)
	out := libc.Xmalloc(c.tls, 8)
	defer libc.Xfree(c.tls, out)
	if rc := lib.Xsqlite3_prepare_v2(c.tls, c.db, text, -1, out, 0); rc != lib.SQLITE_OK {
		return nil, c.fault(rc)
	}
	r := &Rows{c: c, stmt: *(*uintptr)(pointer(out))}
	r.width = int(lib.Xsqlite3_column_count(c.tls, r.stmt))
	if err := r.Again(args...); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Again starts the statement from its beginning with other values, which is
// much cheaper than another Query.
func (r *Rows) Again(args ...Value) error {
	lib.Xsqlite3_reset(r.c.tls, r.stmt) // its result repeats that of the last step, which Err has told
	r.err = nil
	for i, v := range args {
		if err := r.bind(i+1, v); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rows) bind(i int, v Value) error {
	var rc int32
	switch v.Class {
	case Integer:
		rc = lib.Xsqlite3_bind_int64(r.c.tls, r.stmt, int32(i), v.Int)
	case Real:
		rc = lib.Xsqlite3_bind_double(r.c.tls, r.stmt, int32(i), v.Real)
	case Null:
		rc = lib.Xsqlite3_bind_null(r.c.tls, r.stmt, int32(i))
	default:
		text, err := libc.CString(string(v.Bytes))
		if err != nil {
			return fmt.Errorf("bind value: %w", err)
		}
		defer libc.Xfree(r.c.tls, text)
		const transient = ^uintptr(0) // SQLITE_TRANSIENT: SQLite makes its own copy
		if v.Class == Text {
			rc = lib.Xsqlite3_bind_text(r.c.tls, r.stmt, int32(i), text, int32(len(v.Bytes)), transient)
		} else {
			rc = lib.Xsqlite3_bind_blob(r.c.tls, r.stmt, int32(i), text, int32(len(v.Bytes)), transient)
		}
	}
	if rc != lib.SQLITE_OK {
		return r.c.fault(rc)
	}
	return nil
}

// Next steps to the next row. At the end, or on an error, it returns false.
func (r *Rows) Next() bool {
	if r.err != nil {
		return false
	}
	switch rc := lib.Xsqlite3_step(r.c.tls, r.stmt); rc {
	case lib.SQLITE_ROW:
		return true
	case lib.SQLITE_DONE:
		return false
	default:
		r.err = r.c.fault(rc)
		return false
	}
}

// Width is the number of columns.
func (r *Rows) Width() int { return r.width }

// Value returns column i of the current row.
func (r *Rows) Value(i int) Value {
	var v Value
	r.read(int32(i), &v)
	return v
}

// Read fills row with the first len(row) columns of the current row.
func (r *Rows) Read(row []Value) {
	for i := range row {
		r.read(int32(i), &row[i])
	}
}

// read asks for the column's sqlite3_value once: each sqlite3_column_* call would
// look it up again. Such a value is valid until the next step, and unprotected,
// which matters only where threads share a connection
// (https://sqlite.org/c3ref/value.html).
func (r *Rows) read(i int32, v *Value) {
	tls := r.c.tls
	value := lib.Xsqlite3_column_value(tls, r.stmt, i)
	v.Bytes = nil
	switch lib.Xsqlite3_value_type(tls, value) {
	case lib.SQLITE_INTEGER:
		v.Class, v.Int = Integer, lib.Xsqlite3_value_int64(tls, value)
	case lib.SQLITE_FLOAT:
		v.Class, v.Real = Real, lib.Xsqlite3_value_double(tls, value)
	case lib.SQLITE_TEXT:
		v.Class = Text
		p := lib.Xsqlite3_value_text(tls, value) // before the length: it may convert from UTF-16
		v.Bytes = view(p, lib.Xsqlite3_value_bytes(tls, value))
		if p == 0 { // the conversion found no memory; Next ends the rows
			r.err = r.c.fault(lib.SQLITE_NOMEM)
		}
	case lib.SQLITE_BLOB:
		v.Class = Blob
		p := lib.Xsqlite3_value_blob(tls, value)
		v.Bytes = view(p, lib.Xsqlite3_value_bytes(tls, value))
	default:
		v.Class = Null
	}
}

// Int is column i as an integer, as SQLite casts it.
func (r *Rows) Int(i int) int64 { return lib.Xsqlite3_column_int64(r.c.tls, r.stmt, int32(i)) }

// Text is column i as a string of its own, as SQLite casts it.
func (r *Rows) Text(i int) string {
	p := lib.Xsqlite3_column_text(r.c.tls, r.stmt, int32(i))
	return string(view(p, lib.Xsqlite3_column_bytes(r.c.tls, r.stmt, int32(i))))
}

// Err is the error that ended the rows, or nil. It is a problem.Problem where an
// operator can act on it.
func (r *Rows) Err() error { return r.err }

// Close ends the statement.
func (r *Rows) Close() {
	if r.stmt != 0 {
		lib.Xsqlite3_finalize(r.c.tls, r.stmt)
		r.stmt = 0
	}
}
