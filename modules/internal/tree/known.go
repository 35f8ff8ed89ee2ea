package tree

import "cmp"

// still is a folder that has the names that are known of it; nil where that is not
// sure.
func (w *walk) still(dir string) *Dir {
	if w.options.Known == nil {
		return nil
	}
	d := w.options.Known(dir)
	if d == nil {
		return nil
	}
	self, err := lstat(w.root, cmp.Or(dir, "."))
	if err != nil || !self.IsDir() || self.Mtime != d.Self.Mtime || self.Ctime != d.Self.Ctime {
		return nil
	}
	d.Kept, d.Same = true, self.Mode == d.Self.Mode && self.UID == d.Self.UID && self.GID == d.Self.GID
	self.Name, d.Self = "", self
	for i := range d.Entries {
		e := &d.Entries[i]
		if e.IsDir() && w.options.Light {
			continue
		}
		now, err := Lstat(w.root, Join(dir, e.Name))
		if err != nil {
			return nil
		}
		d.Same = d.Same && SameSource(&now, e)
		*e = now
	}
	return d
}
