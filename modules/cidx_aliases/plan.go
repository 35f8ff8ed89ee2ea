package aliases

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/jsonfile"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/regular"
	"cidx-cluster/modules/internal/tree"
)

// alias is one alias file.
type alias struct {
	rel      string // below the golden-repos tree, e.g. "aliases/billing-global.json"
	info     os.FileInfo
	original []byte
	expected []byte
	found    []byte // on the share; nil if it is not there
}

// due reports whether the share has to be written.
func (a alias) due() bool { return a.found == nil || !bytes.Equal(a.found, a.expected) }

// plan is what has to be done.
type plan struct {
	tree      home.Tree
	aliases   []alias
	leftAlone []leftAlone
	stale     []string // on the share, of no repository of this server
}

// leftAlone is a JSON file that is no alias file.
type leftAlone struct {
	File string `json:"file"`
	Why  string `json:"why"`
}

// plan reads the originals and what the share holds. It returns the plan beside
// an error, which is problem.List.
func (s *step) plan() (plan, error) {
	p := plan{tree: s.tree, leftAlone: []leftAlone{}, stale: []string{}}
	var problems problem.List
	for _, dir := range home.AliasDirs {
		entries, err := os.ReadDir(filepath.Join(s.tree.Local, dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			fix := "make the folder readable for the user that runs the migration"
			problems.Add(problem.Problem{What: err.Error(), At: filepath.Join(s.tree.Local, dir), Fix: fix})
			continue
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".json") && !e.IsDir() {
				problems.Add(s.add(&p, filepath.Join(dir, e.Name())))
			}
		}
		p.stale = append(p.stale, s.strangers(dir)...)
	}
	return p, problems.Err()
}

// add plans one JSON file.
func (s *step) add(p *plan, rel string) error {
	path := filepath.Join(s.tree.Local, rel)
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("look at alias file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return s.irregular(p, path)
	}
	original, err := regular.Read(path)
	if err != nil {
		return problem.Problem{What: err.Error(), At: path, Fix: "make the file readable for the user that runs the migration"}
	}
	if err := jsonfile.Check(original); err != nil {
		return s.doubtful(p, rel, path, err)
	}
	if !isAlias(original) {
		p.leftAlone = append(p.leftAlone, leftAlone{path, "has no target_path"})
		return nil
	}
	expected, err := rewrite(original, s.moves)
	if err != nil {
		return problem.Problem{What: err.Error(), At: path, Fix: "rename the folder and register the repository anew in CIDX"}
	}
	a := alias{rel: rel, info: info, original: original, expected: expected}
	target := filepath.Join(s.tree.Target, rel)
	a.found, err = regular.Read(target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return problem.Problem{What: "read alias file on the share: " + err.Error(), At: target,
			Fix: "move it away, or make it readable for the user that runs the migration, which writes this file anew"}
	}
	p.aliases = append(p.aliases, a)
	return s.checkTarget(a, path)
}

// irregular names what cannot be an alias file; a link to one is a problem,
// because writing through its copy would reach the original.
func (s *step) irregular(p *plan, path string) error {
	if home.IsAliasFile(path) {
		fix := "replace the link with a copy of the file that it points at"
		return problem.Problem{What: "the alias file is a symbolic link", At: path, Fix: fix}
	}
	p.leftAlone = append(p.leftAlone, leftAlone{path, "is not a regular file"})
	return nil
}

// doubtful judges a file that is not JSON, or has a key twice. CIDX 11.79 keeps alias files, and
// nothing else, in aliases/; what lies at the top of the tree may be anything.
func (s *step) doubtful(p *plan, rel, path string, why error) error {
	aliasPlace := filepath.Dir(rel) == "aliases" || s.layout.Kind == "assumed"
	if !aliasPlace {
		p.leftAlone = append(p.leftAlone, leftAlone{path, "is " + why.Error()})
		return nil
	}
	fix := "repair the file; or delete it and restart the standalone server, which writes a new one that points at the clone"
	return problem.Problem{What: why.Error(), At: path, Fix: fix}
}

// strangers are alias files on the share without an original: of a repository
// that a cluster added before it was rolled back, or that was removed since an
// earlier copy. The cluster would take them for its own.
func (s *step) strangers(dir string) []string {
	entries, err := os.ReadDir(filepath.Join(s.tree.Target, dir))
	if err != nil {
		return nil // not copied yet
	}
	var stale []string
	for _, e := range entries {
		path := filepath.Join(s.tree.Target, dir, e.Name())
		if !strings.HasSuffix(e.Name(), ".json") || !e.Type().IsRegular() {
			continue
		}
		if _, err := os.Lstat(filepath.Join(s.tree.Local, dir, e.Name())); errors.Is(err, fs.ErrNotExist) && home.IsAliasFile(path) {
			stale = append(stale, path)
		}
	}
	return stale
}

// warnings tell what becomes of stale alias files.
func (s *step) warnings(p plan) (list []string) {
	verb := "was"
	if s.check {
		verb = "will be"
	}
	for _, path := range p.stale {
		list = append(list, fmt.Sprintf("%s: an alias file without an original in %s; it %s moved to %s",
			path, s.tree.Local, verb, filepath.Join(s.share, tree.AsideFolder)))
	}
	return list
}

// line is the sentence of the transcript.
func (p plan) line(check bool) string {
	due := p.due()
	switch {
	case due == 0:
		return "Up to date: " + human.Count(len(p.aliases), "alias file", "alias files")
	case check:
		return "Would update " + human.Count(due, "alias file", "alias files")
	}
	return "Updated " + human.Count(due, "alias file", "alias files")
}

func (p plan) due() int {
	n := 0
	for _, a := range p.aliases {
		if a.due() {
			n++
		}
	}
	return n
}

// reply tells the plan.
func (p plan) reply(mode ansible.Mode) ansible.Reply {
	type item struct {
		File      string `json:"file"`
		Target    string `json:"target"`
		Previous  string `json:"previous,omitempty"`
		Rewritten bool   `json:"rewritten"`
	}
	items := []item{}
	r := ansible.Reply{}
	for _, a := range p.aliases {
		items = append(items, item{
			File:   filepath.Join(p.tree.Target, a.rel),
			Target: jsonfile.Get(a.expected, targetPath).Str, Previous: jsonfile.Get(a.expected, previousPath).Str,
			Rewritten: a.due(),
		})
		if mode.Diff && a.due() {
			before := a.original
			if a.found != nil {
				before = a.found
			}
			path := filepath.Join(p.tree.Target, a.rel)
			r.Diff = append(r.Diff, ansible.Diff{BeforeHeader: path, AfterHeader: path, Before: string(before), After: string(a.expected)})
		}
	}
	r.Changed = mode.Check && p.due()+len(p.stale) > 0
	r.Data = map[string]any{"aliases": items, "updated": p.due(), "left_alone": p.leftAlone, "stale": p.stale}
	return r
}
