package aliases

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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
	files, err := home.AliasFiles(s.tree.Local)
	problems.Add(err)
	for _, f := range files {
		problems.Add(s.add(&p, f))
	}
	p.stale = append(p.stale, s.strangers()...)
	return p, problems.Err()
}

// add plans one JSON file.
func (s *step) add(p *plan, f home.AliasFile) error {
	path := filepath.Join(s.tree.Local, f.Rel)
	switch {
	case !f.Info.Mode().IsRegular() && f.Fault == nil: // writing through a copy of the link would reach the original
		return problem.Problem{What: "the alias file is a symbolic link", At: path,
			Fix: "replace the link with a copy of the file that it points at"}
	case !f.Info.Mode().IsRegular():
		p.leftAlone = append(p.leftAlone, leftAlone{path, "is not a regular file"})
		return nil
	case errors.Is(f.Fault, home.ErrNoTarget):
		p.leftAlone = append(p.leftAlone, leftAlone{path, f.Fault.Error()})
		return nil
	case f.Fault != nil && f.Raw == nil:
		return f.Unreadable(path)
	case f.Fault != nil:
		return s.doubtful(p, f.Rel, path, f.Fault)
	}
	expected, err := rewrite(f.Raw, s.moves)
	if err != nil {
		return problem.Problem{What: err.Error(), At: path, Fix: "rename the folder and register the repository anew in CIDX"}
	}
	a := alias{rel: f.Rel, info: f.Info, original: f.Raw, expected: expected}
	target := filepath.Join(s.tree.Target, f.Rel)
	a.found, err = regular.Read(target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return problem.Problem{What: "read alias file on the share: " + err.Error(), At: target,
			Fix: "move it away, or make it readable for the user that runs the migration, which writes this file anew"}
	}
	p.aliases = append(p.aliases, a)
	return s.checkTarget(a, path)
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
func (s *step) strangers() (stale []string) {
	there, _ := home.AliasFiles(s.tree.Target) // what cannot be read is no alias for the cluster either
	for _, f := range there {
		_, err := os.Lstat(filepath.Join(s.tree.Local, f.Rel))
		if f.Info.Mode().IsRegular() && f.Fault == nil && errors.Is(err, fs.ErrNotExist) {
			stale = append(stale, filepath.Join(s.tree.Target, f.Rel))
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
