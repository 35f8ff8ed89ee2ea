package sqlite

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"

	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/regular"
)

// magic starts every SQLite file (https://sqlite.org/fileformat2.html).
const magic = "SQLite format 3\x00"

// checkHeader tells what is wrong with a file before SQLite would say so in
// fewer words. Problems call it name.
func checkHeader(path, name string) error {
	f, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return problem.Problem{What: "database file is missing", At: name,
			Fix: "restore the file, or name the server's data directory in cidx_home"}
	}
	if errors.Is(err, regular.ErrNot) {
		return problem.Problem{What: "not a regular file", At: name, Fix: "move it away and restore the database file"}
	}
	if err != nil {
		return problem.Problem{What: err.Error(), At: name, Fix: readable}
	}
	defer f.Close()
	head := make([]byte, len(magic))
	n, err := io.ReadFull(f, head)
	if n == 0 && errors.Is(err, io.EOF) {
		return nil // an empty file is an empty database
	}
	if string(head[:n]) != magic {
		return problem.Problem{What: "not a SQLite database", At: name,
			Fix: "restore the file from a backup; it is not what the CIDX server writes"}
	}
	return nil
}

// fault turns a result code into an error, with a way out where there is one.
func (c *Conn) fault(rc int32) error {
	text := libc.GoString(lib.Xsqlite3_errstr(c.tls, rc))
	if c.db != 0 {
		text = libc.GoString(lib.Xsqlite3_errmsg(c.tls, c.db))
	}
	fix := ""
	switch rc & 0xff {
	case lib.SQLITE_CORRUPT:
		fix = "the file is damaged: restore a backup of it, " +
			"or repair it with the server stopped (sqlite3 FILE .recover), then migrate again"
	case lib.SQLITE_NOTADB:
		fix = "restore the file from a backup; it is not a SQLite database, or an encrypted one"
	case lib.SQLITE_CANTOPEN, lib.SQLITE_PERM, lib.SQLITE_AUTH:
		fix = readable
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		fix = "stop what still uses the file (fuser shows it) and run again"
	case lib.SQLITE_IOERR:
		fix = "look at the disk (dmesg), then run again"
	case lib.SQLITE_FULL:
		fix = "free space in the folder for temporary files (TMPDIR), then run again"
	case lib.SQLITE_NOMEM, lib.SQLITE_TOOBIG:
		fix = "free memory on this machine, then run again"
	}
	if fix == "" {
		return fmt.Errorf("read %s: %s (SQLite code %d)", c.name, text, rc)
	}
	return problem.Problem{What: fmt.Sprintf("%s (SQLite code %d)", text, rc), At: c.name, Fix: fix}
}
