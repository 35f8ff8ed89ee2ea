package judge

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"unicode/utf8"
)

// Entry is the state of one file, link, folder, table or sequence. Hash is the
// SHA-256 of a file, or the digest of a table's rows.
type Entry struct {
	Name  string `json:"name"`
	Bytes string `json:"bytes,omitempty"` // base64 of Name where it is not UTF-8
	Type  string `json:"type"`            // file, folder, link, other, table, sequence, schema
	Mode  uint32 `json:"mode,omitempty"`
	UID   uint32 `json:"uid"`
	GID   uint32 `json:"gid"`
	Mtime int64  `json:"mtime_ns,omitempty"`
	Size  int64  `json:"size,omitempty"`
	Links uint64 `json:"links,omitempty"`
	Hash  string `json:"hash,omitempty"`
	Link  string `json:"link,omitempty"`
	To    string `json:"link_bytes,omitempty"` // base64 of Link where it is not UTF-8
	inode [2]uint64
}

// State is everything that hash looked at, by name: home/…, share/…, postgres/….
type State map[string]Entry

// Place says where to look. DSN may be empty: then PostgreSQL is left out.
type Place struct{ Home, Share, DSN string }

// leftOut is what changes without anybody touching data: the pid file, logs,
// SQLite's shared-memory files, and what is inside the tool's own folder.
func leftOut(name string) bool {
	return name == "home/server.pid" || strings.HasPrefix(name, "home/logs/") ||
		strings.HasPrefix(name, "home/.cluster-migrate/") || strings.HasSuffix(name, "-shm")
}

// Take reads the state of a place. Contents are hashed by two workers.
func Take(ctx context.Context, p Place) (State, error) {
	state := State{}
	for prefix, root := range map[string]string{"home": p.Home, "share": p.Share} {
		if root == "" {
			continue
		}
		entries, err := scan(ctx, root, func(rel string) bool { return leftOut(joined(prefix, rel)) })
		if err != nil {
			return nil, fmt.Errorf("take state of %s: %w", prefix, err)
		}
		for rel, e := range entries {
			e.Name = strings.TrimSuffix(joined(prefix, rel), "/")
			if prefix == "home" && e.Name == "home/.cluster-migrate" {
				e = Entry{Name: e.Name, Type: e.Type}
			}
			state[e.Name] = e
		}
	}
	if p.DSN == "" {
		return state, nil
	}
	db, err := newPsql(p.DSN)
	if err != nil {
		return nil, err
	}
	return state, db.state(ctx, state)
}

// scan reads a tree: relative name ("" is the root itself) -> entry, with hashes of files.
func scan(ctx context.Context, root string, skip func(rel string) bool) (map[string]Entry, error) {
	entries, err := list(root, skip)
	if err != nil {
		return nil, err
	}
	return entries, hashAll(ctx, root, entries)
}

// list is scan without contents.
func list(root string, skip func(rel string) bool) (map[string]Entry, error) {
	entries := map[string]Entry{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(path, root), "/")
		if rel != "" && skip(rel) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		e, err := entryOf(path)
		if err != nil {
			return err
		}
		entries[rel] = e
		return nil
	})
	return entries, err
}

func entryOf(path string) (Entry, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return Entry{}, err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Entry{}, fmt.Errorf("stat %s: not a Unix file system", path)
	}
	e := Entry{Type: "other", Mode: s.Mode & 0o7777, UID: s.Uid, GID: s.Gid, Mtime: s.Mtim.Nano(), inode: [2]uint64{s.Dev, s.Ino}}
	switch {
	case info.Mode().IsRegular():
		e.Type, e.Size, e.Links = "file", s.Size, s.Nlink
	case info.IsDir():
		e.Type = "folder"
	case info.Mode()&fs.ModeSymlink != 0:
		e.Type = "link"
		e.Link, err = os.Readlink(path)
	}
	return e, err
}

// hashAll fills the hash of every file; a hard-linked file is read once.
func hashAll(ctx context.Context, root string, entries map[string]Entry) error {
	type result struct {
		rel, hash string
		err       error
	}
	work, results := make(chan string), make(chan result)
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for rel := range work {
				hash, err := hashFile(filepath.Join(root, rel))
				results <- result{rel, hash, err}
			}
		})
	}
	go func() {
		for rel, e := range entries {
			if e.Type == "file" && ctx.Err() == nil {
				work <- rel
			}
		}
		close(work)
		workers.Wait()
		close(results)
	}()
	var errs []error
	hashes := map[string]string{}
	for r := range results {
		errs = append(errs, r.err)
		hashes[r.rel] = r.hash
	}
	for rel, hash := range hashes {
		e := entries[rel]
		e.Hash = hash
		entries[rel] = e
	}
	return errors.Join(append(errs, ctx.Err())...)
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Save writes the state as JSON Lines, mode 0600.
func (s State) Save(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	defer f.Close()
	out := bufio.NewWriter(f)
	enc := json.NewEncoder(out)
	for _, name := range sortedNames(s) {
		e := s[name]
		if !utf8.ValidString(name) {
			e.Bytes = base64.StdEncoding.EncodeToString([]byte(name))
		}
		if !utf8.ValidString(e.Link) {
			e.To = base64.StdEncoding.EncodeToString([]byte(e.Link))
		}
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("save state: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	return f.Close()
}

// Load reads what Save wrote.
func Load(path string) (State, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load state: %w", err)
	}
	defer f.Close()
	state := State{}
	dec := json.NewDecoder(bufio.NewReader(f))
	for {
		var e Entry
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return state, nil
		} else if err != nil {
			return nil, fmt.Errorf("load state %s: %w", path, err)
		}
		if e.Bytes != "" {
			name, err := base64.StdEncoding.DecodeString(e.Bytes)
			if err != nil {
				return nil, fmt.Errorf("load state %s: %w", path, err)
			}
			e.Name = string(name)
		}
		if e.To != "" {
			to, err := base64.StdEncoding.DecodeString(e.To)
			if err != nil {
				return nil, fmt.Errorf("load state %s: %w", path, err)
			}
			e.Link, e.To = string(to), ""
		}
		state[e.Name] = e
	}
}
