package files

import (
	"errors"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/tree"
)

// unsure reports whether a part has folders of which it is not known how much of
// them is on the share already.
func (j *job) unsure() bool { return j.trust != trusted || j.scan.unsure > 0 }

// intend says, durably and before the first byte, what this pass is going to put
// on the share: after a kill, a power cut or an error the next pass knows it for
// ours. It costs one sync for a pass, whatever it copies.
func (p *pass) intend() error {
	for f, err := range p.scan.plan.folders() {
		if err == nil && f.unsure {
			err = p.clearWay(f.path)
		}
		if err != nil {
			return err
		}
	}
	for f, err := range p.scan.plan.folders() {
		if err == nil && f.puts {
			err = p.scan.manifest.Intend(f.path, f.state)
		}
		if err != nil {
			return err
		}
	}
	return p.scan.manifest.Sync()
}

// clearWay removes a file of ours that stands where a folder has to be. Once the
// intent says that a folder will be there, nobody knows of the file any more.
func (p *pass) clearWay(path string) error {
	dir, name := tree.Parent(path)
	if path == "" {
		return nil
	}
	old := decoded(dir, p.scan.manifest.Group(dir))
	if i := old.Find(name); i < 0 || old.Entries[i].IsDir() {
		return nil
	}
	if _, err := p.target.remove(path); err != nil && !errors.Is(err, unix.EISDIR) {
		return fault("remove", p.target.path(path), err)
	}
	return nil
}
