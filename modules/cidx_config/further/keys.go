package further

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cidx-cluster/modules/cidx_config/cutover"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/kept"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/regular"
	"cidx-cluster/modules/internal/secret"
)

// keyFiles are what every node of a cluster has alike, by the names of kept.Keys.
// The salt opens stored tokens; the JWT secret is a row of PostgreSQL, too, but
// CIDX's updater signs with the file; the MFA key counts as a row only, and as a
// file where that row is lost. A nil value is no file.
type keyFiles map[string][]byte

// readKeys reads the key files.
func readKeys(ctx context.Context, c home.Common) (keyFiles, error) {
	found := keyFiles{}
	for name, path := range kept.Keys(c) {
		raw, err := regular.Read(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, problem.Problem{What: err.Error(), At: path, Fix: "make the file readable for the server's user"}
		}
		keepKey(ctx, raw)
		found[name] = raw
	}
	return found, nil
}

// keepKey registers a key as a secret. A salt may be a host name, which is none.
func keepKey(ctx context.Context, raw []byte) {
	const shortest = 20
	if text := strings.TrimSpace(string(raw)); len(text) >= shortest {
		secret.Keep(ctx, text)
	}
}

// planKeys plans to write each key of this node that is not as the other one has
// it. What is none of our key files is no name that another node could give.
func (j *joining) planKeys(ctx context.Context) error {
	now, err := readKeys(ctx, j.Common)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		want, had := j.given.Keys[name], now[name]
		if want == nil || had != nil && bytes.Equal(had, want) {
			continue
		}
		j.Plan = append(j.Plan, cutover.Step{
			Name: "write " + name + " as node " + j.of.NodeID + " has it", Event: "key", Data: map[string]any{"name": name},
			Do: func() error { return putKey(j.Common, name, want) }, Undo: func() error { return putKey(j.Common, name, had) },
		})
	}
	return nil
}

// putKey writes a key file; nil removes it.
func putKey(c home.Common, name string, content []byte) error {
	path := kept.Keys(c)[name]
	info, err := os.Stat(path) // where there is none, it gets mode 0600
	switch {
	case content == nil && err != nil:
		return nil // nor is there one
	case content == nil:
		return cutover.Remove(path)
	}
	if err := durable.MakeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	return durable.Write(path, content, info)
}

// before is what this home had of its own before it became a node.
type before struct {
	Keys      keyFiles `json:"keys"`
	Databases []string `json:"databases"` // files that were there
}

func (n Node) beforePath() string { return n.State().Path("before-node.json") }

// keepBefore writes it down.
func (n Node) keepBefore(ctx context.Context) error {
	now, err := readKeys(ctx, n.Common)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(before{now, n.databases("")})
	if err != nil {
		return fmt.Errorf("encode what was before: %w", err)
	}
	return durable.Write(n.beforePath(), raw, nil)
}

func (n Node) readBefore() (b before, err error) {
	raw, err := regular.Read(n.beforePath())
	if err == nil {
		err = json.Unmarshal(raw, &b)
	}
	if err != nil {
		return b, problem.Problem{What: "what this server had of its own cannot be read", At: n.beforePath(),
			Fix: "make the file readable for the server's user, or restore it from a backup of the node"}
	}
	return b, nil
}

// planKeysBack plans to restore the keys.
func (n Node) planKeysBack(ctx context.Context, was keyFiles) error {
	now, err := readKeys(ctx, n.Common)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if want, known := was[name]; known && ((want == nil) != (now[name] == nil) || !bytes.Equal(want, now[name])) {
			n.Plan = append(n.Plan, cutover.Step{
				Name: "put " + name + " back", Event: "key-back", Data: map[string]any{"name": name},
				Do: func() error { return putKey(n.Common, name, want) },
			})
		}
	}
	return nil
}

// databases are the files of SQLite databases, below the home, that are there under
// a name with this end.
func (n Node) databases(end string) []string {
	var list []string
	for _, d := range cidx.DatabaseFiles() {
		for _, p := range append(cidx.SideFiles(d.Path), d.Path+"-shm", d.Path) {
			if !cutover.Missing(filepath.Join(n.Home, p) + end) {
				list = append(list, p)
			}
		}
	}
	return list
}

// planDatabasesAside sets the databases of a standalone server aside: a cluster
// node makes new ones, for what concerns it alone.
func (n Node) planDatabasesAside() error {
	for _, name := range n.databases("") {
		path := filepath.Join(n.Home, name)
		to := path + home.PreCluster
		if !cutover.Missing(to) {
			return problem.Problem{What: "two files: this one and its backup " + filepath.Base(to), At: path,
				Fix: "find out which one holds the standalone server's data, and move the other one away"}
		}
		s := n.renameStep("aside", path, to)
		s.Undo = func() error {
			if cutover.Missing(to) {
				return nil // it was not done
			}
			return durable.RenameNew(to, path)
		}
		n.Plan = append(n.Plan, s)
	}
	return nil
}

// planDatabasesBack moves those that the node has made into the state folder, and
// puts the standalone server's back. One that was there before and has no name with
// an end was not set aside yet, or is back already.
func (n Node) planDatabasesBack(was []string) {
	back, stamp := n.databases(home.PreCluster), time.Now().UTC().Format("20060102T150405Z")
	for _, name := range n.databases("") {
		if slices.Contains(back, name) || !slices.Contains(was, name) {
			n.Plan = append(n.Plan, n.renameStep("aside", filepath.Join(n.Home, name), n.State().Path("after-cluster", stamp, name)))
		}
	}
	for _, name := range back {
		path := filepath.Join(n.Home, name)
		n.Plan = append(n.Plan, n.renameStep("back", path+home.PreCluster, path))
	}
}

// renameStep moves a file of the home.
func (n Node) renameStep(event, from, to string) cutover.Step {
	return cutover.Step{
		Name: "rename " + from + " to " + to, Event: event, Data: map[string]any{"file": n.Rel(from)},
		Do: func() error {
			if err := durable.MakeFolder(filepath.Dir(to)); err != nil {
				return err
			}
			return durable.RenameNew(from, to)
		},
	}
}
