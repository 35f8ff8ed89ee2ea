package sqlite

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"

	"cidx-cluster/modules/internal/regular"
)

// Fingerprint adds to h what changes whenever a database does: its size and
// header (with the change counter) and, of the write-ahead log, the size, the
// header (with the salts) and the end, which covers the header of the last frame
// (with the running checksum). It reads a few hundred bytes of a file of any size.
func Fingerprint(h hash.Hash, path string) error {
	if err := ends(h, path, 100, 0); err != nil {
		return fmt.Errorf("fingerprint %s: %w", path, err)
	}
	const frame = 24 + 1<<16 // of the largest page
	if err := ends(h, path+"-wal", 32, frame); err != nil {
		return fmt.Errorf("fingerprint %s-wal: %w", path, err)
	}
	return nil
}

// ends adds the size of a file, its first bytes and its last ones.
func ends(h hash.Hash, path string, first, last int64) error {
	f, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprint(h, "absent\n")
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	fmt.Fprintf(h, "%d\n", info.Size())
	_, err = io.Copy(h, io.NewSectionReader(f, 0, first))
	if err == nil && last > 0 {
		_, err = io.Copy(h, io.NewSectionReader(f, max(first, info.Size()-last), last))
	}
	return err
}
