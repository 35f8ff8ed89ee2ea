package tree

import (
	"path"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/human"
)

// AsideFolder, at the top of the share, takes what lies in the folders of the
// copy and is not of it: an earlier copy made by hand, what a cluster wrote that
// was rolled back since. A stray alias, lock, ref or file would change what the
// cluster sees. Nothing of it is deleted.
const AsideFolder = ".cidx-aside"

// Aside moves entries of a share out of the way, into a folder of this run.
type Aside struct {
	share *Root
	Under string // below the share
}

// NewAside returns one for a part of the share; it makes nothing yet.
func NewAside(share *Root, part string) *Aside {
	return &Aside{share: share, Under: path.Join(AsideFolder, time.Now().UTC().Format("20060102T150405.000000Z"), part)}
}

// Move moves an entry below root. to is its new place, below the share.
func (a *Aside) Move(root *Root, entry string) (to string, err error) {
	dir, _ := Parent(entry)
	at := path.Join(a.Under, dir)
	if _, err := a.share.MkdirAll(at); err != nil {
		return "", err
	}
	fd, err := a.share.openFolder(at)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	err = root.At(entry, func(from int, name string) error { return unix.Renameat(from, name, fd, name) })
	root.Forget(entry)
	return path.Join(a.Under, entry), err
}

// Immovable is the fix for an entry of the share at mount that this user may not
// move there.
func Immovable(mount, path string) string {
	folder := human.Word(mount + "/" + AsideFolder)
	return "move it there as its owner or root: mkdir -p " + folder + " && mv " + human.Word(path) + " " + folder + "/; then run again"
}
