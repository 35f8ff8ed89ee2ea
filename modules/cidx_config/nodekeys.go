package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/reach"
	"cidx-cluster/modules/internal/secret"
)

// Key files that every node of a cluster has alike. The salt opens stored tokens;
// the JWT secret is a row of PostgreSQL, too, but CIDX's updater signs with the
// file; the MFA key counts as a row only, and as a file where that row is lost.
const (
	saltName  = ".encryption_key_salt"
	jwtName   = ".jwt_secret"
	mfaName   = "data/mfa_key.dat"
	jwtBeside = "~/.cidx-server/.jwt_secret" // where the home is elsewhere
)

func (c *cutover) owner() reach.Identity {
	user, err := reach.Service(c.ServiceUser, c.Home)
	if err != nil {
		return reach.Identity{UID: os.Geteuid(), GID: os.Getegid()}
	}
	return user
}

// keyFile is the path of a key file by its name; "" where this node has no such place.
func (c *cutover) keyFile(name string) string {
	if name != jwtBeside {
		return filepath.Join(c.Home, name)
	}
	user := c.owner()
	dir := filepath.Join(user.Home, ".cidx-server")
	here, errHere := os.Stat(c.Home)
	there, errThere := os.Stat(dir)
	if user.Home == "" || errHere == nil && errThere == nil && os.SameFile(here, there) {
		return ""
	}
	return filepath.Join(dir, ".jwt_secret")
}

// readKeys reads the key files that are there.
func (c *cutover) readKeys(ctx context.Context) (map[string][]byte, error) {
	keys := map[string][]byte{}
	for _, name := range []string{saltName, jwtName, mfaName, jwtBeside} {
		path := c.keyFile(name)
		if path == "" {
			continue
		}
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, problem.Problem{What: err.Error(), At: path, Fix: "make the file readable for the server's user"}
		}
		keepKey(ctx, raw)
		keys[name] = raw
	}
	if _, ok := keys[saltName]; !ok {
		return nil, problem.Problem{
			What: "no such file; without it no node opens the stored tokens",
			At:   c.keyFile(saltName),
			Fix:  "start the server of this node once, or restore the file",
		}
	}
	return keys, nil
}

// keepKey registers a key as a secret. A salt may be a host name, which is none.
func keepKey(ctx context.Context, raw []byte) {
	const shortest = 20
	if text := strings.TrimSpace(string(raw)); len(text) >= shortest {
		secret.Keep(ctx, text)
	}
}

// planKeys plans to write each key that is not as the other node has it.
func (j *joining) planKeys() error {
	names := make([]string, 0, len(j.given.Keys))
	for name := range j.given.Keys {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		want, path := j.given.Keys[name], j.keyFile(name)
		if path == "" {
			continue
		}
		now, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return problem.Problem{What: err.Error(), At: path, Fix: "make the file readable for the server's user"}
		}
		if err == nil && bytes.Equal(now, want) {
			continue
		}
		j.plan = append(j.plan, step{
			what: "write " + name + " as node " + j.of.NodeID + " has it", event: "key", data: map[string]any{"name": name},
			do: func() error { return j.writeKey(name, path, want) }, undo: func() error { return j.restoreKey(name, path) },
		})
	}
	return nil
}

// before is where a key lies as it was before this home became a node; a key that
// did not exist has an empty file with absent at the end of its name instead.
func (c *cutover) before(name string) string {
	return c.State().Path("before-node", strings.NewReplacer("/", "_", "~", "home").Replace(name))
}

const absent = ".absent"

func (j *joining) writeKey(name, path string, want []byte) error {
	kept := j.before(name)
	if missing(kept) && missing(kept+absent) {
		if err := durable.MakeFolder(filepath.Dir(kept)); err != nil {
			return err
		}
		old, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = durable.Write(kept+absent, nil, nil)
		case err == nil:
			err = durable.Write(kept, old, nil)
		}
		if err != nil {
			return fmt.Errorf("keep %s: %w", name, err)
		}
	}
	if err := durable.MakeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		info = nil // then it gets mode 0600
	}
	return durable.Write(path, want, info)
}

// restoreKey puts a key back as it was.
func (c *cutover) restoreKey(name, path string) error {
	kept := c.before(name)
	if !missing(kept + absent) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", name, err)
		}
		return removeSynced(kept + absent)
	}
	old, err := os.ReadFile(kept)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // never changed
	}
	if err != nil {
		return fmt.Errorf("restore %s: %w", name, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		info = nil
	}
	if err := durable.Write(path, old, info); err != nil {
		return fmt.Errorf("restore %s: %w", name, err)
	}
	return removeSynced(kept)
}

func removeSynced(path string) error {
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return durable.SyncFolder(filepath.Dir(path))
}

// planKeysBack plans to restore what planKeys has changed.
func (c *cutover) planKeysBack() {
	for _, name := range []string{saltName, jwtName, mfaName, jwtBeside} {
		path := c.keyFile(name)
		if path == "" || missing(c.before(name)) && missing(c.before(name)+absent) {
			continue
		}
		c.plan = append(c.plan, step{
			what: "put " + name + " back", event: "key-back", data: map[string]any{"name": name},
			do: func() error { return c.restoreKey(name, path) },
		})
	}
}

// sideDatabases are the files of the standalone server's databases that are there
// under a name with this end.
func (c *cutover) sideDatabases(end string) []string {
	var list []string
	for _, d := range cidx.DatabaseFiles() {
		path := filepath.Join(c.Home, d.Path)
		for _, p := range append(cidx.SideFiles(path), path+"-shm", path) {
			if !missing(p + end) {
				list = append(list, p)
			}
		}
	}
	return list
}

// planDatabasesAside sets the databases of a standalone server aside: a cluster
// node makes new ones, for what concerns it alone.
func (c *cutover) planDatabasesAside() error {
	for _, path := range c.sideDatabases("") {
		if !missing(path + cidx.PreCluster) {
			return problem.Problem{
				What: "two files: this one and its backup " + filepath.Base(path) + cidx.PreCluster,
				At:   path,
				Fix:  "find out which one holds the standalone server's data, and move the other one away",
			}
		}
		c.plan = append(c.plan, step{
			what: "rename " + path + " to " + filepath.Base(path) + cidx.PreCluster, event: "aside", data: map[string]any{"file": rel(c.Home, path)},
			do:   func() error { return durable.RenameNew(path, path+cidx.PreCluster) },
			undo: func() error { return renameBack(path+cidx.PreCluster, path) },
		})
	}
	return nil
}

func renameBack(from, to string) error {
	if missing(from) {
		return nil // it was not done
	}
	return durable.RenameNew(from, to)
}

// planDatabasesBack sets those that the node has made aside, in the state folder,
// and plans to put the standalone server's back.
func (c *cutover) planDatabasesBack(at string) {
	for _, path := range c.sideDatabases("") {
		to := c.State().Path("after-cluster", at, rel(c.Home, path))
		file := map[string]any{"file": rel(c.Home, path)}
		c.plan = append(c.plan, step{what: "move " + path + " to " + to, event: "aside", data: file, do: func() error {
			if err := durable.MakeFolder(filepath.Dir(to)); err != nil {
				return err
			}
			return durable.RenameNew(path, to)
		}})
	}
	for _, path := range c.sideDatabases(cidx.PreCluster) {
		file := map[string]any{"file": rel(c.Home, path)}
		c.plan = append(c.plan, step{what: "rename " + path + cidx.PreCluster + " back", event: "back", data: file, do: func() error {
			return durable.RenameNew(path+cidx.PreCluster, path)
		}})
	}
}
