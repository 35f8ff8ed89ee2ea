package further

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"cidx-cluster/modules/cidx_config/cutover"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/regular"
)

// A marker is a file that one node has just written on the share, and that a
// further one must find there: a copy or a snapshot of the share does not have it.
const markerPrefix = ".cidx-cluster-node-"

// Patience: CIDX itself waits for up to a minute until a file server shows one
// node what another one has made. Markers of killed runs go after an hour.
const (
	markerPatience = 20 * time.Second
	markerAge      = time.Hour
)

func leaveMarker(golden string) (name, text string, err error) {
	entries, _ := os.ReadDir(golden) // what cannot be read cannot be written to, see below
	for _, e := range entries {
		if info, err := e.Info(); err == nil && isMarker(e.Name()) && info.Mode().IsRegular() && time.Since(info.ModTime()) > markerAge {
			_ = os.Remove(filepath.Join(golden, e.Name())) // the next run tries again
		}
	}
	name, text = markerPrefix+rand.Text(), rand.Text()
	path := filepath.Join(golden, name)
	if err := durable.Write(path, []byte(text), nil); err != nil {
		return "", "", fmt.Errorf("leave marker on the share: %w", err)
	}
	return name, text, nil
}

// isMarker reports whether a file's name can be that of a marker.
func isMarker(name string) bool {
	return strings.HasPrefix(name, markerPrefix) && filepath.Base(name) == name
}

// findMarker proves that the folder is the one in which the other node has left
// the marker, and that both call its owner by the same number.
func (j *joining) findMarker(ctx context.Context, found cutover.Found) error {
	tree, _ := found.Layout.Tree(cidx.GoldenRepos)
	golden := tree.Target
	if !isMarker(j.of.Marker) {
		return notShared(fmt.Sprintf("%q is no marker of ours", j.of.Marker))
	}
	path := filepath.Join(golden, j.of.Marker)
	other := problem.Problem{
		What: fmt.Sprintf("not the same file system: what node %s has just written there is not here", j.of.NodeID), At: golden,
		Fix: "mount on this node what is mounted on " + j.of.Host + " (compare: findmnt " + found.Share + "), " +
			"not a copy or a snapshot of it",
	}
	for until := time.Now().Add(markerPatience); ; {
		raw, err := regular.Read(path)
		switch {
		case err == nil && string(raw) == j.of.Proof:
			return j.sameOwner(path)
		case err == nil:
			return other
		case !errors.Is(err, fs.ErrNotExist):
			return problem.Problem{What: "read what node " + j.of.NodeID + " has written: " + err.Error(), At: path,
				Fix: "give the service user the same numeric ids on every node"}
		case time.Now().After(until):
			return other
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the marker: %w", context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (j *joining) sameOwner(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("look at marker: %w", err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		return problem.Problem{
			What: fmt.Sprintf("what the service user of node %s writes belongs to uid %d here, and the service user is %d",
				j.of.NodeID, owner.Uid, os.Geteuid()), At: path,
			Fix: "map numeric ids alike on every node (the export's options, idmapd)",
		}
	}
	return nil
}

// sameAliases stands in for the marker in check mode, where nothing is written on
// the share: the alias files must be those that the other node sees. One that was
// replaced since it was read there may differ.
func (j *joining) sameAliases(found cutover.Found) error {
	tree, _ := found.Layout.Tree(cidx.GoldenRepos)
	golden := tree.Target
	here, err := aliasDigests(golden)
	if err != nil {
		return problem.Problem{What: err.Error(), At: golden, Fix: "make the share readable for the service user"}
	}
	for name, sum := range j.of.Aliases {
		if here[name] == sum {
			continue
		}
		info, err := os.Stat(filepath.Join(golden, name))
		if err != nil { // gone since, or never there
			info, err = os.Stat(filepath.Dir(filepath.Join(golden, name)))
		}
		if err == nil && info.ModTime().After(j.of.Time.Add(-mostSkew*time.Second)) {
			continue
		}
		return problem.Problem{What: fmt.Sprintf("not the same file system: %s is not as node %s sees it", name, j.of.NodeID), At: golden,
			Fix: "mount on this node what is mounted on " + j.of.Host + " (compare: findmnt " + found.Share + ")"}
	}
	return nil
}
