package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
)

// listing is what a tree's folder held when it was set aside: names two levels
// deep, and three below .versioned. It lies in <state>/set-aside.json by the
// tree's link, and tells a rollback whether the folder is still whole.
type listing map[string][]string

func (c *cutover) listingPath() string { return c.State().Path("set-aside.json") }

// keepListing writes down what the folders hold that are about to be set aside.
func (c *cutover) keepListing(trees []seen) error {
	all := listing{}
	for _, t := range trees {
		if t.state == home.LinkInPlace && !t.aside {
			continue // the server has had it on the share from the beginning
		}
		names, err := namesBelow(t.Local)
		if t.state == home.LinkMissing && !t.aside {
			names, err = []string{}, nil // a further node that never ran
		}
		if err != nil {
			return fmt.Errorf("list %s: %w", t.Local, err)
		}
		all[t.Link] = names
	}
	raw, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("encode the list of what is set aside: %w", err)
	}
	if err := durable.MakeFolder(string(c.State())); err != nil {
		return err
	}
	return durable.Write(c.listingPath(), append(raw, '\n'), nil)
}

func (c *cutover) readListing() (listing, error) {
	raw, err := os.ReadFile(c.listingPath())
	if errors.Is(err, fs.ErrNotExist) {
		return listing{}, nil // of an earlier release
	}
	all := listing{}
	if err == nil {
		err = json.Unmarshal(raw, &all)
	}
	if err != nil {
		return nil, problem.Problem{What: "read the list of what was set aside: " + err.Error(), At: c.listingPath(), Fix: "make it readable for the user that runs this; if it is damaged, move it away: then only the folders themselves are looked for"}
	}
	return all, nil
}

// namesBelow lists a folder two levels deep, .versioned three.
func namesBelow(root string) ([]string, error) {
	names := []string{}
	var list func(rel string, depth int) error
	list = func(rel string, depth int) error {
		entries, err := os.ReadDir(filepath.Join(root, rel))
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := filepath.Join(rel, e.Name())
			names = append(names, string([]rune(name))) // as JSON spells bytes that are no UTF-8: the list is kept as such
			deeper := depth
			if name == ".versioned" {
				deeper++
			}
			if e.IsDir() && deeper > 1 {
				if err := list(name, deeper-1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return names, list("", 2)
}

// lost names what a way back needs and does not find: folders that our cut-over
// has set aside, and entries of them.
func (c *cutover) lost(standing home.Standing) problem.List {
	const fix = "put it back under this name from a backup of the node; without it this migration cannot be rolled back, and the cluster node goes on as it is"
	var problems problem.List
	known, err := c.readListing()
	problems.Add(err)
	links := standing.Links()
	for _, t := range home.AllTrees(c.Home, "") {
		if _, ours := links[t.Link]; !ours {
			continue
		}
		if info, err := os.Lstat(t.Link); err == nil && info.IsDir() {
			continue // back already
		}
		info, err := os.Lstat(t.Aside())
		switch {
		case errors.Is(err, fs.ErrNotExist):
			problems = append(problems, problem.Problem{What: "the folder of the standalone server is gone; it was set aside here at the migration", At: t.Aside(), Fix: fix})
		case err != nil:
			problems = append(problems, problem.Problem{What: err.Error(), At: t.Aside(), Fix: "make it readable for the user that runs this"})
		case !info.IsDir():
			problems = append(problems, problem.Problem{What: "not a folder, though that of the standalone server was set aside here", At: t.Aside(), Fix: fix})
		default:
			names, listed := known[t.Link]
			problems.Add(incomplete(t, names, listed, fix))
		}
	}
	return problems
}

// incomplete compares a folder with the names that it held. Without a list, of an
// earlier release, no more is known than that there were repositories.
func incomplete(t home.Tree, names []string, listed bool, fix string) error {
	now, err := namesBelow(t.Aside())
	if err != nil {
		return problem.Problem{What: err.Error(), At: t.Aside(), Fix: "make it readable for the user that runs this"}
	}
	empty := len(now) == 0 && (len(names) > 0 || !listed && t.Name == cidx.GoldenRepos)
	slices.Sort(now)
	var missing []string
	for _, name := range names {
		if _, ok := slices.BinarySearch(now, name); !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 && !empty {
		return nil
	}
	shown := missing[:min(5, len(missing))]
	what := fmt.Sprintf("%d of %d entries of the standalone server's folder are gone: %q", len(missing), len(names), shown)
	if empty {
		what = "the folder of the standalone server is empty"
	}
	return problem.Problem{What: what, At: t.Aside(), Fix: strings.Replace(fix, "it back under this name", "them back", 1)}
}

// lostBefore refuses a migration of a home whose trees are links that an earlier
// cut-over has made, while what it set aside is gone: there is nothing to migrate
// from, and a node that works must not be stopped for it.
func (c *cutover) lostBefore(found situation) problem.List {
	if found.standing.Migrated() {
		return nil
	}
	return c.lost(found.standing)
}
