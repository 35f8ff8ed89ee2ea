package git

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The index (git's Documentation/gitformat-index.txt): a header, then entries
// sorted by path. An entry's fixed part is 40 bytes, the object's name and two
// bytes of flags.
const (
	indexHeader = 12
	statSize    = 40
	modeAt      = 24
	extended    = 0x4000 // flag: two more bytes of flags (version 3 on)
	longestPath = 1 << 16
)

// Tracked lists paths that the repository's index holds, at most limit: regular
// files only. None where there is no index, or one that says it otherwise (a
// split index, a .git that is no folder). git itself is not started for it.
func Tracked(repository *os.Root, limit int) ([]string, error) {
	info, err := repository.Lstat(".git")
	if err != nil || !info.IsDir() {
		return nil, nil
	}
	own, err := repository.OpenRoot(".git")
	if err != nil {
		return nil, err
	}
	defer own.Close()
	var paths []string
	for _, hash := range []int{20, 32} { // SHA-1, SHA-256
		f, err := regular(own, "index")
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		paths, err = readIndex(bufio.NewReader(f), hash, limit)
		f.Close()
		if err == nil {
			return paths, nil
		}
	}
	return nil, Unusual{".git/index", "has a format that is not known"}
}

func readIndex(in *bufio.Reader, hash, limit int) ([]string, error) {
	header := make([]byte, indexHeader)
	if _, err := io.ReadFull(in, header); err != nil || string(header[:4]) != "DIRC" {
		return nil, fmt.Errorf("read index: no header")
	}
	version, count := binary.BigEndian.Uint32(header[4:]), binary.BigEndian.Uint32(header[8:])
	if version < 2 || version > 4 {
		return nil, fmt.Errorf("read index: version %d", version)
	}
	var paths []string
	name := ""
	for range count {
		if len(paths) == limit {
			break
		}
		mode, next, err := readEntry(in, version, hash, name)
		if err != nil {
			return nil, fmt.Errorf("read index: %w", err)
		}
		name = next
		if mode>>12 == 0o10 {
			paths = append(paths, name)
		}
	}
	return paths, nil
}

// readEntry reads one entry; before is the path of the one in front of it.
func readEntry(in *bufio.Reader, version uint32, hash int, before string) (mode uint32, name string, err error) {
	fixed := make([]byte, statSize+hash+2)
	if _, err := io.ReadFull(in, fixed); err != nil {
		return 0, "", err
	}
	size := len(fixed)
	mode = binary.BigEndian.Uint32(fixed[modeAt:])
	switch mode >> 12 {
	case 0o10, 0o12, 0o16, 0o04: // file, link, submodule, folder of a sparse index
	default:
		return 0, "", fmt.Errorf("mode %o", mode)
	}
	if binary.BigEndian.Uint16(fixed[len(fixed)-2:])&extended != 0 {
		size += 2
		if _, err := in.Discard(2); err != nil {
			return 0, "", err
		}
	}
	if version == 4 {
		drop, err := readOffset(in)
		if err != nil || drop > len(before) {
			return 0, "", errors.New("damaged path")
		}
		rest, err := readPath(in)
		return mode, before[:len(before)-drop] + rest, err
	}
	if name, err = readPath(in); err != nil {
		return 0, "", err
	}
	size += len(name) + 1
	_, err = in.Discard((8 - size%8) % 8)
	return mode, name, err
}

func readPath(in *bufio.Reader) (string, error) {
	var b strings.Builder
	for b.Len() < longestPath {
		c, err := in.ReadByte()
		if err != nil {
			return "", err
		}
		if c == 0 {
			return b.String(), nil
		}
		b.WriteByte(c)
	}
	return "", errors.New("path without an end")
}

// readOffset is a number as in a pack's offset deltas.
func readOffset(in *bufio.Reader) (int, error) {
	n := 0
	for range 4 {
		c, err := in.ReadByte()
		if err != nil {
			return 0, err
		}
		n = n<<7 | int(c&0x7f)
		if c&0x80 == 0 {
			return n, nil
		}
		n++
	}
	return 0, errors.New("number without an end")
}
