package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"unsafe"

	"modernc.org/libc"
	"modernc.org/libc/sys/types"
	lib "modernc.org/sqlite/lib"
)

// Conn is an open database. It is not safe for concurrent use.
type Conn struct {
	tls  *libc.TLS
	db   uintptr
	path string
	name string // what messages call it
}

// OpenCopy opens the private copy at path, with the rows of a -wal beside it, of
// a database that messages are to name. The files must not be written while they
// are open: no lock is taken. Nothing is created beside them (facts: an ordinary
// read-only open leaves -shm and -wal files, a plain one checkpoints at the
// close). The error is a problem.Problem.
func OpenCopy(path, name string) (*Conn, error) {
	if err := checkHeader(path, name); err != nil {
		return nil, err
	}
	// vfs=unix-none: no lock calls. With locking_mode=EXCLUSIVE the index of the
	// WAL is kept in memory instead of in a -shm file.
	uri := "file:" + (&url.URL{Path: path}).EscapedPath() + "?mode=ro&vfs=unix-none"
	if _, err := os.Lstat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		uri += "&immutable=1" // else a database in WAL mode gets an empty -wal
	}
	c, err := open(path, uri, name, lib.SQLITE_OPEN_READONLY)
	if err != nil {
		return nil, err
	}
	// The first read makes SQLite recover the WAL.
	for _, sql := range []string{"PRAGMA locking_mode=EXCLUSIVE", "PRAGMA mmap_size=0", "PRAGMA trusted_schema=OFF",
		"SELECT 1 FROM sqlite_master LIMIT 1"} {
		if err := c.Exec(sql); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Memory opens an empty database in memory, for rows that come from elsewhere.
func Memory() (*Conn, error) {
	return open(":memory:", ":memory:", ":memory:", lib.SQLITE_OPEN_READWRITE|lib.SQLITE_OPEN_CREATE)
}

func open(path, uri, name string, flags int32) (*Conn, error) {
	c := &Conn{tls: libc.NewTLS(), path: path, name: name}
	file, err := libc.CString(uri)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	defer libc.Xfree(c.tls, file)
	handle := libc.Xmalloc(c.tls, types.Size_t(unsafe.Sizeof(uintptr(0))))
	defer libc.Xfree(c.tls, handle)
	rc := lib.Xsqlite3_open_v2(c.tls, file, handle, flags|lib.SQLITE_OPEN_NOMUTEX|lib.SQLITE_OPEN_URI|lib.SQLITE_OPEN_EXRESCODE, 0)
	c.db = *(*uintptr)(pointer(handle))
	if rc != lib.SQLITE_OK {
		err := c.fault(rc)
		c.Close()
		return nil, err
	}
	if err := c.keepWAL(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// keepWAL forbids the checkpoint at the last close.
func (c *Conn) keepWAL() error {
	list := libc.Xmalloc(c.tls, 16)
	defer libc.Xfree(c.tls, list)
	rc := lib.Xsqlite3_db_config(c.tls, c.db, lib.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, libc.VaList(list, int32(1), uintptr(0)))
	if rc != lib.SQLITE_OK {
		return c.fault(rc)
	}
	return nil
}

// Path is the file that was opened.
func (c *Conn) Path() string { return c.path }

// Name is what messages call the database.
func (c *Conn) Name() string { return c.name }

// Close releases the connection; statements must be closed before.
func (c *Conn) Close() {
	if c.db != 0 {
		lib.Xsqlite3_close_v2(c.tls, c.db)
		c.db = 0
	}
	if c.tls != nil {
		c.tls.Close()
		c.tls = nil
	}
}

// Exec runs one statement to its end and drops its rows.
func (c *Conn) Exec(sql string, args ...Value) error {
	rows, err := c.Query(sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

// Number is the whole number that a statement gives, 0 if it gives no row.
func (c *Conn) Number(sql string, args ...Value) (int64, error) {
	rows, err := c.Query(sql, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	if rows.Next() {
		return rows.Int(0), nil
	}
	return 0, rows.Err()
}

// Quote spells a name or a table for SQL.
func Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// pointer makes a pointer of an address in the library's own memory, which the
// garbage collector neither moves nor frees.
func pointer(address uintptr) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&address))
}

// view is the memory at address as a slice.
func view(address uintptr, n int32) []byte {
	if address == 0 || n <= 0 {
		return nil
	}
	return unsafe.Slice((*byte)(pointer(address)), int(n))
}

// QuickCheck has SQLite check the structure of the database and returns up to
// most faults.
func (c *Conn) QuickCheck(most int) ([]string, error) {
	rows, err := c.Query(fmt.Sprintf("PRAGMA quick_check(%d)", most))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var faults []string
	for rows.Next() {
		if text := rows.Text(0); text != "ok" {
			faults = append(faults, text)
		}
	}
	return faults, rows.Err()
}
