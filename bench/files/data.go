package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// dataset is what is copied: a standalone server's golden-repos tree.
type dataset struct {
	name    string
	home    string // the server's data directory
	files   int
	bytes   int64
	folders int
}

func (d *dataset) source() string { return filepath.Join(d.home, "data", "golden-repos") }

// makeSmall makes many small files: half like git's loose objects in one level
// of 256 folders, half like CIDX's vectors, one JSON file each in two levels of
// hashed folders. Twelve repositories share them.
func makeSmall(home string, files int) (*dataset, error) {
	d := &dataset{name: "small", home: home}
	random := rand.New(rand.NewPCG(1, 2))
	content := []byte(strings.Repeat("0123456789abcdef", 512)) // 8 KB
	for i := range files {
		repo := fmt.Sprintf("repository-%02d", i%12)
		hash := fmt.Sprintf("%016x%016x", random.Uint64(), random.Uint64())
		path := filepath.Join(repo, "objects", hash[:2], hash[2:])
		if i%2 == 1 {
			path = filepath.Join(repo, ".code-indexer/index/vectors", hash[:2], hash[2:4], "vector_"+hash[4:]+".json")
		}
		if err := d.add(path, content[:1024+random.IntN(7*1024)]); err != nil {
			return nil, err
		}
	}
	return d, d.finish()
}

// makeLarge makes a few large files, like packs.
func makeLarge(home string, files int, size int64) (*dataset, error) {
	d := &dataset{name: "large", home: home}
	content := make([]byte, size)
	random := rand.NewChaCha8([32]byte{1})
	for i := range files {
		if _, err := random.Read(content); err != nil {
			return nil, err
		}
		if err := d.add(filepath.Join("repository-00", "objects", "pack", fmt.Sprintf("pack-%d.pack", i)), content); err != nil {
			return nil, err
		}
	}
	return d, d.finish()
}

func (d *dataset) add(rel string, content []byte) error {
	path := filepath.Join(d.source(), rel)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	d.files++
	d.bytes += int64(len(content))
	return os.WriteFile(path, content, 0o644)
}

// finish adds what makes the folder a server's, and counts.
func (d *dataset) finish() error {
	if err := os.MkdirAll(filepath.Join(d.source(), "aliases"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.home, "config.json"), []byte(`{"storage_mode":"postgres"}`), 0o600); err != nil {
		return err
	}
	old := time.Now().Add(-time.Hour)
	return filepath.WalkDir(d.source(), func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			d.folders++
		}
		return os.Chtimes(path, old, old)
	})
}

// change rewrites one percent of the files, by name and so always the same ones
// for every contender, with a content of the same size that depends on salt.
func (d *dataset) change(salt byte) (changed int, err error) {
	n := 0
	err = filepath.WalkDir(d.source(), func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if n++; n%100 != 1 {
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		changed++
		content := make([]byte, info.Size())
		for i := range content {
			content[i] = salt
		}
		return os.WriteFile(path, content, info.Mode())
	})
	return changed, err
}
