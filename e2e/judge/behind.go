package judge

import (
	"regexp"
)

// Behind stays what belongs to the old server's processes or to the file
// server: caches, locks, markers, snapshots of the volume, what was thrown away.

// skipped are folders and files that are not even looked into, by tree.
var skipped = map[string]*regexp.Regexp{
	"golden-repos":    regexp.MustCompile(`^(\.cache|\.locks|\.write_mode|\.snapshot|\.versioned/\.snapshot)(/|$)`),
	".versioned":      regexp.MustCompile(`^\.snapshot(/|$)`),
	"activated-repos": regexp.MustCompile(`^(\.trash|\.snapshot)(/|$)`),
}

// transientFiles are single files of the golden-repos tree: locks of a
// dependency map that is being made, and alias files that were being written.
var transientFiles = regexp.MustCompile(`^cidx-meta/dependency-map/_active_[^/]*\.lock$|^(aliases/)?\.[^/]*\.tmp$`)

// gitLocks are files (not folders) with which git keeps other gits out.
var gitLocks = regexp.MustCompile(`(^|/)[^/]*\.git/(.*/)?([^/]*\.lock|gc\.pid)$`)

// skip is for walking a tree.
func (t tree) skip(rel string) bool {
	return skipped[t.name] != nil && skipped[t.name].MatchString(rel)
}

// leaveBehind removes from what was found in a tree what stays behind, and
// answers how many that were. Sockets, pipes and devices are nobody's data.
func (t tree) leaveBehind(found map[string]Entry) (n int) {
	for rel, e := range found {
		transient := e.Type == "file" && (gitLocks.MatchString(rel) || t.name == "golden-repos" && transientFiles.MatchString(rel))
		if transient || e.Type == "other" {
			delete(found, rel)
			n++
		}
	}
	return n
}
