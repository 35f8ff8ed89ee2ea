package home

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"

	"cidx-cluster/modules/internal/durable"
)

// RootFolder is where root, who works for another user, keeps what a start and
// the end of a run depend on: hold, hold-updates and service.json, named as in
// a state folder. Everybody may read it, only root may write. The user is in its
// name: nobody can make root work in the folder of somebody else's server.
// real is the home without links.
func RootFolder(uid int, real string) State {
	sum := sha256.Sum256([]byte(filepath.Clean(real)))
	return State(filepath.Join("/var/lib/cidx-cluster", strconv.Itoa(uid)+"-"+hex.EncodeToString(sum[:8])))
}

// Holds is the folder whose hold and record count for this home: root's where
// root made one for this user, else the state folder.
func (c Common) Holds() State {
	real, err := filepath.EvalSymlinks(c.Home)
	if err != nil {
		real = c.Home
	}
	own := RootFolder(os.Geteuid(), real)
	if there, err := durable.Exists(string(own)); there && err == nil {
		return own
	}
	return c.State()
}
