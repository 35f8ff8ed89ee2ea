package files

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/tree"
)

// unsure reports whether nothing says which entries of a folder are on the
// share: it was never copied, or a copy of it was interrupted.
func (f *folder) unsure() bool { return f.known == nil || f.known.Open() }

// unsure reports whether a part has folders of which it is not known how much of
// them is on the share already.
func (j *job) unsure() bool {
	return j.trust != trusted || slices.ContainsFunc(j.scan.folders, (*folder).unsure)
}

// intend says, durably and before the first byte, what this pass is going to put
// on the share: after a kill, a power cut or an error the next pass knows it for
// ours. It costs one sync for a pass, whatever it copies.
func (p *pass) intend() error {
	known := make(map[string]*tree.Group, len(p.scan.folders))
	for _, f := range p.scan.folders {
		known[f.path] = f.known
	}
	for _, f := range p.scan.folders {
		if f.unsure() {
			if err := p.clearWay(f.path, known); err != nil {
				return err
			}
		}
	}
	for _, f := range p.scan.folders {
		if !f.puts() {
			continue
		}
		if err := p.scan.manifest.Intend(f.path, f.state); err != nil {
			return err
		}
	}
	return p.scan.manifest.Sync()
}

// puts reports whether a folder's copy may get entries that are not recorded as
// copied.
func (f *folder) puts() bool {
	return f.unsure() || string(f.known.Stats) != string(f.state) || !f.known.All(tree.Copied, tree.Racy)
}

// clearWay removes a file of ours that stands where a folder has to be. Once the
// intent says that a folder will be there, nobody knows of the file any more.
func (p *pass) clearWay(path string, known map[string]*tree.Group) error {
	dir, name := tree.Parent(path)
	old := decoded(dir, known[dir])
	if i := old.Find(name); path == "" || i < 0 || old.Entries[i].IsDir() {
		return nil
	}
	if _, err := p.target.remove(path); err != nil && !errors.Is(err, unix.EISDIR) {
		return fault("remove", p.target.path(path), err)
	}
	return nil
}
