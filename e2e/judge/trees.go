package judge

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// transient is what belongs to the old server's process and is left behind,
// by tree: caches, locks, markers, and what was thrown away.
var transient = map[string]*regexp.Regexp{
	"golden-repos":    regexp.MustCompile(`^(\.cache|\.locks|\.write_mode)(/|$)|^cidx-meta/dependency-map/_active_[^/]*\.lock$`),
	"activated-repos": regexp.MustCompile(`^\.trash(/|$)`),
}

// mendable are the files in which git keeps absolute paths.
var mendable = regexp.MustCompile(`(^|/)\.git(/config|/modules/.*/config|/objects/info/alternates|/worktrees/[^/]+/gitdir)?$`)

// files compares one tree with its copy on the share.
type files struct {
	tree    tree
	paths   *pathRule
	running bool
	ignore  Ignore
	aliases map[string]bool // relative names judged elsewhere
	mended  map[string]bool // git files and links now spelled for the share
	touched map[string]bool // folders in which a file was replaced
	report  *Report
}

// Ignore are attributes that a share cannot keep, such as owners under root_squash.
type Ignore struct{ Owner, Mtime, Mode bool }

func (f *files) judge(ctx context.Context) error {
	skip := func(rel string) bool { return transient[f.tree.name] != nil && transient[f.tree.name].MatchString(rel) }
	if info, err := os.Stat(f.tree.local()); err != nil || !info.IsDir() {
		f.report.differ("files", f.tree.name, "source folder is missing")
		return nil
	}
	if info, err := os.Lstat(f.tree.target); err != nil || !info.IsDir() {
		f.report.differ("files", f.tree.name, "folder is missing on the share")
		return nil
	}
	was, err := scan(ctx, f.tree.local(), skip)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.tree.local(), err)
	}
	keep := func(string) bool { return false }
	if f.running { // a running server has its own
		keep = skip
	}
	is, err := scan(ctx, f.tree.target, keep)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.tree.target, err)
	}
	f.compareAll(was, is)
	return nil
}

func (f *files) compareAll(was, is map[string]Entry) {
	f.report.checked("files", len(was))
	f.findMended(was, is)
	wasFirst, isFirst := leaders(was), leaders(is)
	for _, rel := range sortedNames(was) {
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
		if _, known := was[rel]; !known {
			f.report.differ("files", joined(f.tree.name, rel), "is on the share only (%s)", is[rel].Type)
		}
	}
}

// leaders answers for each file with several names the first of them in this tree.
func leaders(entries map[string]Entry) map[string]string {
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
	if f.aliases[rel] || f.mended[rel] { // an alias's content is judged with the alias files
		was.Size, was.Hash, was.Link, mtime = is.Size, is.Hash, is.Link, false
	}
	compareEntries(f.report, "files", joined(f.tree.name, rel), was, is, mtime)
}

// findMended notes what differs only by paths now spelled for the share, and
// the folders whose time may have changed because a file in them was replaced.
func (f *files) findMended(was, is map[string]Entry) {
	f.mended, f.touched = map[string]bool{}, map[string]bool{}
	for rel := range f.aliases {
		f.touched[filepath.Dir(rel)] = true
	}
	for rel, w := range was {
		i := is[rel]
		link := w.Type == "link" && i.Type == "link" && w.Link != i.Link && i.Link == f.paths.moved(w.Link)
		file := w.Type == "file" && i.Type == "file" && w.Hash != i.Hash && mendable.MatchString(rel) && f.respelled(rel)
		if link || file {
			f.mended[rel], f.touched[filepath.Dir(rel)] = true, true
		}
	}
}

// respelled says whether a git file differs only by paths now spelled for the share.
func (f *files) respelled(rel string) bool {
	was, err := os.ReadFile(filepath.Join(f.tree.local(), rel))
	if err != nil {
		return false
	}
	is, err := os.ReadFile(filepath.Join(f.tree.target, rel))
	if err != nil {
		return false
	}
	text := string(was)
	for _, t := range f.paths.trees {
		at := regexp.MustCompile(regexp.QuoteMeta(t.link) + `(/|$|[\s"'])`)
		text = at.ReplaceAllStringFunc(text, func(found string) string { return t.target + strings.TrimPrefix(found, t.link) })
	}
	return text == string(is)
}
