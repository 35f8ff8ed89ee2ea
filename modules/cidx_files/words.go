package files

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/mirror"
	"cidx-cluster/modules/internal/problem"
)

// warnings tell the findings: one line a kind, with the repositories in which
// they are, an example, and the file that has them all.
func (p *part) warnings(file string) (list []string) {
	for _, kind := range []string{mirror.Attributes, outside, served, mirror.HardLink} {
		all := p.Found.Of(kind)
		if len(all) == 0 {
			continue
		}
		repository := func(f manifest.Finding) string { return cmp.Or(p.repository(f.Path), "outside of repositories") }
		text := p.Source + ": " + human.Count(len(all), meanings[kind][0], meanings[kind][1]) + " (" + tally(all, repository) + ")"
		if holders := tally(all, holder); holders != "" {
			text += ": " + holders
		}
		text += fmt.Sprintf("; among them %s", filepath.Join(p.Source, all[0].Path))
		if all[0].Detail != "" {
			text += " (" + all[0].Detail + ")"
		}
		if file != "" {
			text += "; all of them: " + file
		}
		list = append(list, text)
	}
	return list
}

// meanings are what findings of a kind mean, of one and of several.
var meanings = map[string][2]string{
	mirror.Attributes: {"entry has ACLs, file capabilities or extended attributes, which are not copied",
		"entries have ACLs, file capabilities or extended attributes, which are not copied"},
	outside: {"path points out of the copied folders, to what other nodes do not have",
		"paths point out of the copied folders, to what other nodes do not have"},
	served: {"absolute path leads into the folders that move; it is copied as it is, and the link in the old place serves it",
		"absolute paths lead into the folders that move; they are copied as they are, and the links in the old places serve them"},
	mirror.HardLink: {"hard link becomes a file of its own, since the share keeps none",
		"hard links become files of their own, since the share keeps none"},
}

// holder is what holds a path: "symbolic link", "git's config".
func holder(f manifest.Finding) string {
	for _, words := range []string{" has /", " to /"} {
		if holder, _, ok := strings.Cut(f.Detail, words); ok {
			return holder
		}
	}
	return ""
}

// tally counts findings by a name that each has, the most frequent first: "flask
// 12, billing 3".
func tally(all []manifest.Finding, of func(manifest.Finding) string) string {
	counts := map[string]int{}
	for _, f := range all {
		counts[of(f)]++
	}
	delete(counts, "")
	names := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(counts[b], counts[a]) })
	var words []string
	for i, name := range names {
		if i == 5 && len(names) > 6 {
			rest := 0
			for _, other := range names[i:] {
				rest += counts[other]
			}
			words = append(words, fmt.Sprintf("%d others %d", len(names)-i, rest))
			break
		}
		words = append(words, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(words, ", ")
}

// others counts the entries whose copies get another owner.
func (c *step) others() (n int64) {
	for _, j := range c.jobs {
		n += j.Scan.Census.Others
	}
	return n
}

// adopted tells what changes its owner.
func (c *step) adopted() []string {
	n, examples := c.others(), []string{}
	if n == 0 {
		return nil
	}
	for _, j := range c.jobs {
		examples = append(examples, j.Scan.Census.Other...)
	}
	return []string{fmt.Sprintf("%s to the server's user (%d:%d): %s",
		human.Count(n, "entry belongs to another user or group; its copy belongs",
			"entries belong to other users or groups; their copies belong"),
		c.owners.UID, c.owners.GIDs[0], strings.Join(examples[:min(3, len(examples))], ", "))}
}

// unreadable is the problem of an entry that the server's user cannot read.
func (p *part) unreadable(u mirror.Omission) problem.Problem {
	path := p.Source + "/" + u.Path
	fix := "check the disk"
	if o := p.Owners; o != nil {
		fix = fmt.Sprintf("give it to the server's user: chown -hR %d:%d '%s', or let it be read: setfacl -R -m u:%d:rX '%s'",
			o.UID, o.GIDs[0], path, o.UID, path)
	}
	return problem.Problem{What: "unreadable: " + u.Why, At: path, Fix: fix}
}
