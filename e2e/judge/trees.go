package judge

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// files compares one tree with its copy on the share.
type files struct {
	tree    tree
	paths   *pathRule
	running bool
	ignore  Ignore
	aliases map[string]bool // relative names judged elsewhere
	touched map[string]bool // folders in which an alias file was replaced
	report  *Report
	ctx     context.Context // of judge
}

// Ignore are attributes that a share cannot keep, such as owners under root_squash.
type Ignore struct{ Owner, Mtime, Mode bool }

func (f *files) judge(ctx context.Context) error {
	f.ctx = ctx
	if info, err := os.Stat(f.tree.local()); err != nil || !info.IsDir() {
		f.report.differ("files", f.tree.name, "source folder is missing")
		return nil
	}
	if info, err := os.Lstat(f.tree.target); err != nil || !info.IsDir() {
		f.report.differ("files", f.tree.name, "folder is missing on the share")
		return nil
	}
	was, err := scan(ctx, f.tree.local(), f.tree.skip)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.tree.local(), err)
	}
	keep := func(string) bool { return false }
	if f.running { // a running server has its own
		keep = f.tree.skip
	}
	is, err := scan(ctx, f.tree.target, keep)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.tree.target, err)
	}
	if err := f.follow(was, is); err != nil {
		return fmt.Errorf("follow links of %s: %w", f.tree.local(), err)
	}
	if n := f.tree.leaveBehind(was); n > 0 {
		f.report.note("%s: %d locks, sockets, pipes and temporary files stay behind", f.tree.name, n)
	}
	if f.running {
		f.tree.leaveBehind(is)
	}
	f.compareAll(was, is)
	return nil
}

func (f *files) compareAll(was, is map[string]Entry) {
	f.report.checked("files", len(was))
	f.touched = map[string]bool{}
	for rel := range f.aliases {
		f.touched[filepath.Dir(rel)] = true
	}
	wasFirst, isFirst := f.leaders(was), f.leaders(is)
	for _, rel := range sortedNames(was) {
		if f.serversOwn(rel) {
			continue
		}
		copied, has := is[rel]
		if !has {
			f.report.differ("files", joined(f.tree.name, rel), "is missing on the share")
			continue
		}
		f.compare(rel, was[rel], copied)
		if wasFirst[rel] != isFirst[rel] {
			f.report.differ("files", joined(f.tree.name, rel), "hard link of %q, want of %q", isFirst[rel], wasFirst[rel])
		}
	}
	for _, rel := range sortedNames(is) {
		if _, known := was[rel]; !known && !f.serversOwn(rel) {
			f.report.differ("files", joined(f.tree.name, rel), "is on the share only (%s)", is[rel].Type)
		}
	}
}

// serversOwn says whether a running server may have written there since.
func (f *files) serversOwn(rel string) bool {
	return f.running && f.tree.name == "golden-repos" && metaFile(rel) || f.running && f.tree.name == ".versioned" && metaFile(".versioned/"+rel)
}

// leaders answers for each file with several names the first of them in this
// tree.
func (f *files) leaders(entries map[string]Entry) map[string]string {
	first, out := map[[2]uint64]string{}, map[string]string{}
	for _, rel := range sortedNames(entries) {
		if e := entries[rel]; e.Type == "file" && e.Links > 1 {
			if first[e.inode] == "" {
				first[e.inode] = rel
				continue
			}
			out[rel] = first[e.inode]
		}
	}
	return out
}

func (f *files) compare(rel string, was, is Entry) {
	was.Links, is.Links = 0, 0
	if f.ignore.Owner {
		is.UID, is.GID = was.UID, was.GID
	}
	if f.ignore.Mode && was.Type == is.Type {
		is.Mode = was.Mode
	}
	mtime := !f.ignore.Mtime && rel != "" && !f.touched[rel]
	if f.aliases[rel] { // judged with the alias files
		was.Size, was.Hash, mtime = is.Size, is.Hash, false
	}
	compareEntries(f.report, "files", joined(f.tree.name, rel), was, is, mtime)
}
