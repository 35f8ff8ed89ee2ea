package sqlite

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
)

// Fingerprint adds to h what changes whenever a database does: its size and
// header (with the change counter) and, of the write-ahead log, the size, the
// header (with the salts) and the header of the last whole frame (with the
// running checksum). It reads a few hundred bytes of a file of any size.
func Fingerprint(h hash.Hash, path string) error {
	if err := parts(h, path, func(size int64) []section { return []section{{0, min(size, 100)}} }); err != nil {
		return err
	}
	return parts(h, path+"-wal", func(size int64) []section {
		const head, frameHead = 32, 24
		if size < head {
			return nil
		}
		list := []section{{0, head}}
		if size > head+frameHead {
			// The page size stands in bytes 8 to 11 of the header; hashing the tail
			// of the file covers the last frame whatever its size is.
			list = append(list, section{max(head, size-(1<<16)-frameHead), min(size-head, (1<<16)+frameHead)})
		}
		return list
	})
}

type section struct{ at, n int64 }

func parts(h hash.Hash, path string, sections func(size int64) []section) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprint(h, "absent\n")
		return nil
	}
	if err != nil {
		return fmt.Errorf("fingerprint %s: %w", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("fingerprint %s: %w", path, err)
	}
	fmt.Fprintf(h, "%d\n", info.Size())
	for _, s := range sections(info.Size()) {
		if _, err := io.Copy(h, io.NewSectionReader(f, s.at, s.n)); err != nil {
			return fmt.Errorf("fingerprint %s: %w", path, err)
		}
	}
	return nil
}
