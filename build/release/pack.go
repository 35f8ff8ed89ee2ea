package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// collection has ansible-galaxy build the folder, and packs the result again in a
// fixed order with fixed times: ansible-galaxy keeps the order of the disk.
func collection(folder string) ([]byte, error) {
	out, err := os.MkdirTemp("", "cidx-collection-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(out)
	build := exec.Command("ansible-galaxy", "collection", "build", "--output-path", out, folder)
	build.Dir = folder // its own ansible.cfg
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("ansible-galaxy collection build: %w: %s", err, text)
	}
	found, err := filepath.Glob(filepath.Join(out, "*.tar.gz"))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("ansible-galaxy collection build: %d tarballs", len(found))
	}
	entries, err := unpack(found[0])
	if err != nil {
		return nil, fmt.Errorf("read tarball: %w", err)
	}
	if err := inOrder(entries); err != nil {
		return nil, err
	}
	return pack(entries)
}

// entry is a file or folder (name ends in /) of the tarball.
type entry struct {
	content []byte
	mode    int64
}

func unpack(path string) (map[string]entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	entries := map[string]entry{}
	for r := tar.NewReader(plain); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		name := h.Name
		if h.Typeflag == tar.TypeDir {
			name = strings.TrimSuffix(name, "/") + "/"
		}
		entries[name] = entry{content, h.Mode & 0o755}
	}
}

// inOrder sorts FILES.json, and has MANIFEST.json know it.
func inOrder(entries map[string]entry) error {
	var files struct {
		Files  []map[string]any `json:"files"`
		Format int              `json:"format"`
	}
	if err := json.Unmarshal(entries["FILES.json"].content, &files); err != nil {
		return fmt.Errorf("FILES.json: %w", err)
	}
	slices.SortFunc(files.Files, func(a, b map[string]any) int { return strings.Compare(fmt.Sprint(a["name"]), fmt.Sprint(b["name"])) })
	raw, err := json.MarshalIndent(files, "", " ")
	if err != nil {
		return err
	}
	entries["FILES.json"] = entry{raw, 0o644}
	var manifest map[string]any
	if err := json.Unmarshal(entries["MANIFEST.json"].content, &manifest); err != nil {
		return fmt.Errorf("MANIFEST.json: %w", err)
	}
	list, ok := manifest["file_manifest_file"].(map[string]any)
	if !ok {
		return errors.New("MANIFEST.json: no file_manifest_file")
	}
	list["chksum_sha256"] = fmt.Sprintf("%x", sha256.Sum256(raw))
	if raw, err = json.MarshalIndent(manifest, "", " "); err != nil {
		return err
	}
	entries["MANIFEST.json"] = entry{raw, 0o644}
	return nil
}

func pack(entries map[string]entry) ([]byte, error) {
	var b bytes.Buffer
	squeezed, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(squeezed)
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		e := entries[name]
		h := &tar.Header{Name: name, Mode: e.mode, Size: int64(len(e.content)), ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg}
		if strings.HasSuffix(name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, err
		}
	}
	err = errors.Join(w.Close(), squeezed.Close())
	return b.Bytes(), err
}

// published is a file of the release.
type published struct {
	name    string
	content []byte
}

// publish writes the files and their SHA256SUMS.
func publish(out string, list []published) ([]string, error) {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, err
	}
	var sums strings.Builder
	for _, p := range list {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(p.content), p.name)
	}
	var paths []string
	for _, p := range append(list, published{"SHA256SUMS", []byte(sums.String())}) {
		path := filepath.Join(out, p.name)
		if err := os.WriteFile(path, p.content, 0o644); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}
