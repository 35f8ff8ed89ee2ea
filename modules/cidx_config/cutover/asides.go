package cutover

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
	"cidx-cluster/modules/internal/regular"
)

// Listing is what a tree's folder held when it was set aside: names two levels
// deep, and three below .versioned. It lies in <state>/set-aside.json by the
// tree's link, and tells a rollback whether the folder is still whole.
type Listing map[string][]string

func (c *Change) listingPath() string { return c.State().Path("set-aside.json") }

// KeepListing writes down what the folders hold that are about to be set aside.
func (c *Change) KeepListing(trees []Tree) error {
	all := Listing{}
	for _, t := range trees {
		if t.State == home.LinkInPlace && !t.Kept {
			continue // the server has had it on the share from the beginning
		}
		names, err := namesBelow(t.Local)
		if t.State == home.LinkMissing && !t.Kept {
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

// ReadListing is what KeepListing wrote; empty where nothing was set aside.
func (c *Change) ReadListing() (Listing, error) {
	raw, err := regular.Read(c.listingPath())
	if errors.Is(err, fs.ErrNotExist) {
		return Listing{}, nil
	}
	all := Listing{}
	if err == nil {
		err = json.Unmarshal(raw, &all)
	}
	if err != nil {
		return nil, problem.Problem{What: "read the list of what was set aside: " + err.Error(), At: c.listingPath(),
			Fix: "make it readable for the user that runs this; if it is damaged, move it away: " +
				"then only the folders themselves are looked for"}
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
			names = append(names, string([]rune(name))) // as JSON spells what is no UTF-8
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

const (
	makeReadable = "make it readable for the user that runs this"
	putBack      = "put it back under this name from a backup of the node; " +
		"without it this migration cannot be rolled back, and the cluster node goes on as it is"
)

// Lost names what a way back needs and does not find: folders that our cut-over
// has set aside, and entries of them.
func (c *Change) Lost(standing home.Standing) problem.List {
	var problems problem.List
	known, err := c.ReadListing()
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
			problems = append(problems, problem.Problem{
				What: "the folder of the standalone server is gone; it was set aside here at the migration", At: t.Aside(), Fix: putBack,
			})
		case err != nil:
			problems = append(problems, problem.Problem{What: err.Error(), At: t.Aside(), Fix: makeReadable})
		case !info.IsDir():
			problems = append(problems, problem.Problem{What: "not a folder, though that of the standalone server was set aside here",
				At: t.Aside(), Fix: putBack})
		default:
			names, listed := known[t.Link]
			problems.Add(incomplete(t, names, listed))
		}
	}
	return problems
}

// incomplete compares a folder with the names that it held. Without a list no more
// is known than that there were repositories.
func incomplete(t home.Tree, names []string, listed bool) error {
	now, err := namesBelow(t.Aside())
	if err != nil {
		return problem.Problem{What: err.Error(), At: t.Aside(), Fix: makeReadable}
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
	return problem.Problem{What: what, At: t.Aside(), Fix: strings.Replace(putBack, "it back under this name", "them back", 1)}
}
