package files

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/tree"
)

// What a pass finds on the way, not in its look, is appended to the findings at
// once: a kill must not lose it once its folder is recorded as done.

// stranger notes an entry of the share that this tool has not put there.
func (p *pass) stranger(path string) error { return p.note(finding{kind: findForeign, path: path}) }

// lostLink notes a name that could not become a hard link.
func (p *pass) lostLink(path string) error { return p.note(finding{kind: findHardLink, path: path}) }

func (p *pass) note(one finding) error {
	dir, _ := tree.Parent(one.path)
	p.result.mu.Lock()
	defer p.result.mu.Unlock()
	if slices.Contains(p.part.found[dir], one) {
		return nil
	}
	p.part.found[dir] = append(p.part.found[dir], one)
	f, err := os.OpenFile(findingsPath(p.args.State(), p.part.name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("note finding: %w", err)
	}
	_, err = f.WriteString(one.line(dir))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("note finding: %w", err)
	}
	return nil
}

// forgetStrangers is for a folder that is listed anew.
func (p *pass) forgetStrangers(dir string) {
	p.result.mu.Lock()
	defer p.result.mu.Unlock()
	if old := p.part.found[dir]; len(old) > 0 {
		p.part.found[dir] = slices.DeleteFunc(slices.Clone(old), func(f finding) bool { return f.kind == findForeign })
	}
}

// foreign are the entries on the share that others have put there, found now or
// earlier.
func (j *job) foreign() (list []string) {
	for _, f := range j.part.found.of(findForeign) {
		list = append(list, filepath.Join(j.part.target, f.path))
	}
	return list
}

// dropStrangers forgets those that are gone, or that are ours by now.
func (j *job) dropStrangers() {
	for dir, all := range j.part.found {
		j.part.found[dir] = slices.DeleteFunc(slices.Clone(all), func(f finding) bool {
			if f.kind != findForeign {
				return false
			}
			_, err := tree.Lstat(atCwd, filepath.Join(j.part.target, f.path))
			return errors.Is(err, unix.ENOENT) || j.ours(f.path)
		})
	}
}

// ours reports whether the manifest has an entry of the share by now.
func (j *job) ours(path string) bool {
	dir, name := tree.Parent(path)
	return j.manifest.Group(path) != nil || decoded(dir, j.manifest.Group(dir)).Find(name) >= 0
}
