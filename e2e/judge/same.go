package judge

import (
	"maps"
	"slices"
	"strings"
)

// Changes say which changes a comparison of two states permits.
type Changes struct {
	// Cutover: data may have moved to <tree>.pre-cluster with a link in its
	// place, config.json differs, config.json.pre-cluster and the state folder
	// are new.
	Cutover bool
	// Rollback: all is back in its place; config.json.pre-cluster, the state
	// folder and a rewritten config.json may remain.
	Rollback bool
	// Except are globs of names that may differ.
	Except []string
}

// trees that the cut-over renames, in either layout.
var movable = []string{"home/data/golden-repos", "home/data/activated-repos", "home/golden-repos", "home/.versioned"}

const asideSuffix = ".pre-cluster"

// Same compares two states of a place.
func Same(before, after State, c Changes) *Report {
	r := NewReport(append(slices.Clone(c.Except), c.permitted()...))
	if c.Cutover {
		after = movedBack(after)
	}
	for _, name := range sortedNames(before) {
		was, is := before[name], after[name]
		category := strings.SplitN(name, "/", 2)[0]
		r.checked(category, 1)
		if is.Name == "" {
			r.differ(category, name, "is gone")
			continue
		}
		loose := (c.Cutover || c.Rollback) && (name == "home" || name == "home/data")
		compareEntries(r, category, name, was, is, !loose)
	}
	for _, name := range sortedNames(after) {
		if _, was := before[name]; !was {
			r.differ(strings.SplitN(name, "/", 2)[0], name, "is new (%s)", after[name].Type)
		}
	}
	return r
}

func (c Changes) permitted() []string {
	if c.Cutover || c.Rollback {
		return []string{"home/.cluster-migrate", "home/config.json.pre-cluster", "home/config.json"}
	}
	return nil
}

// movedBack puts what lies at <tree>.pre-cluster under the name it had.
func movedBack(s State) State {
	out := maps.Clone(s)
	for _, tree := range movable {
		if _, aside := s[tree+asideSuffix]; !aside {
			continue
		}
		if s[tree].Type == "link" {
			delete(out, tree)
		}
		for name, e := range s {
			if rest, in := strings.CutPrefix(name, tree+asideSuffix); in && (rest == "" || rest[0] == '/') {
				delete(out, name)
				e.Name = tree + rest
				out[e.Name] = e
			}
		}
	}
	return out
}

// compareEntries reports each attribute that differs; mtime only if it counts.
func compareEntries(r *Report, category, name string, was, is Entry, mtime bool) {
	if was.Type != is.Type {
		r.differ(category, name, "type was %s, is %s", was.Type, is.Type)
		return
	}
	if was.Mode != is.Mode {
		r.differ(category, name, "mode was %04o, is %04o", was.Mode, is.Mode)
	}
	if was.UID != is.UID || was.GID != is.GID {
		r.differ(category, name, "owner was %d:%d, is %d:%d", was.UID, was.GID, is.UID, is.GID)
	}
	if mtime && was.Mtime != is.Mtime {
		r.differ(category, name, "mtime was %s, is %s", stamp(was.Mtime), stamp(is.Mtime))
	}
	if was.Link != is.Link {
		r.differ(category, name, "link was %q, is %q", was.Link, is.Link)
	}
	if was.Links != is.Links {
		r.differ(category, name, "hard links were %d, are %d", was.Links, is.Links)
	}
	switch {
	case was.Size != is.Size && was.Type == "table":
		r.differ(category, name, "rows were %d, are %d", was.Size, is.Size)
	case was.Size != is.Size:
		r.differ(category, name, "size was %d, is %d", was.Size, is.Size)
	case was.Hash != is.Hash:
		r.differ(category, name, "content differs")
	}
}
