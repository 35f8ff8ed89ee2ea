package mirror

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/destination"
	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/tree"
)

// What an entry needs follows from what the source has, what the manifest knows and
// what was found on the share.
func TestWhatAnEntryNeeds(t *testing.T) {
	const done = manifest.Copied | manifest.Verified
	file := tree.Entry{Name: "x", Mode: unix.S_IFREG | 0o644, Size: 5, Mtime: 1e9, Ctime: 1e9, Ino: 7, Nlink: 1}
	changed := func(e tree.Entry, change func(*tree.Entry)) *tree.Entry { change(&e); return &e }
	late := changed(file, func(e *tree.Entry) { e.Ctime = time.Now().UnixNano() })
	cases := map[string]struct {
		now, known, have *tree.Entry
		flag             byte // as the manifest has it
		made, recheck    bool
		want             string
	}{
		"new":                                   {now: &file, want: "copy"},
		"new, and the share has it":             {now: &file, have: &file, want: "there, copied, found"},
		"new, and the share has half of it":     {now: &file, have: changed(file, func(e *tree.Entry) { e.Size = 2 }), want: "copy"},
		"new, of another mode on the share":     {now: &file, have: changed(file, func(e *tree.Entry) { e.Mode = unix.S_IFREG | 0o600 }), want: "there, copied, found"},
		"copied and compared":                   {now: &file, known: &file, flag: done, have: &file, want: "there, copied, verified"},
		"copied, and gone from the share":       {now: &file, known: &file, flag: done, want: "copy"},
		"copied, and changed since":             {now: changed(file, func(e *tree.Entry) { e.Ino = 8 }), known: &file, flag: done, have: &file, want: "there, copied, found"},
		"copied while it changed":               {now: &file, known: &file, flag: done | manifest.Racy, want: "copy"},
		"copied, in a folder that we have made": {now: &file, known: &file, flag: done, made: true, want: "copy"},
		"copied, which is not believed":         {now: &file, known: &file, flag: done, recheck: true, want: "copy"},
		"only announced":                        {now: &file, known: &file, want: "copy"},
		"changed a moment ago":                  {now: late, have: late, want: "there, copied, racy, found"},
		"gone at the source":                    {known: &file, flag: done, want: "lost"},
		"a link":                                {now: &tree.Entry{Name: "x", Mode: unix.S_IFLNK | 0o777, Link: "y"}, want: "link"},
		"a folder":                              {now: &tree.Entry{Name: "x", Mode: unix.S_IFDIR}, want: "copied, verified"},
		"a folder in place of a file":           {now: &tree.Entry{Name: "x", Mode: unix.S_IFDIR}, known: &file, flag: done, want: "copied, verified"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := func(e *tree.Entry) *tree.Dir {
				d := &tree.Dir{Path: "d"}
				if e != nil {
					d.Entries = []tree.Entry{*e}
				}
				return d
			}
			d := &decider{sides: &sides{part: &Part{Rules: none{}}, target: &destination.Folder{Grain: 1}}, recheck: c.recheck}
			d.late = time.Now().Add(-racyWindow).UnixNano()
			var known *manifest.Group
			if c.known != nil {
				known = &manifest.Group{Stats: dir(c.known).Encode(), Flags: []byte{0, c.flag}}
			}
			got, err := d.decide(&folder{path: "d", list: true, made: c.made}, dir(c.now), known, dir(c.have))
			must(t, err)
			if diff := cmp.Diff(c.want, got.words()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// words say what is decided of the only entry of a folder.
func (t *task) words() string {
	words := ""
	add := func(word string, on bool) {
		if on && words != "" {
			words += ", "
		}
		if on {
			words += word
		}
	}
	for _, list := range []struct {
		word    string
		entries []int
	}{{"copy", t.copy}, {"link", t.other}, {"late", t.late}, {"lost", t.lost}, {"there", t.there}} {
		add(list.word, slices.Equal(list.entries, []int{0}))
	}
	if len(t.flags) > 1 {
		for i, word := range []string{"copied", "verified", "racy"} {
			add(word, t.flags[1]&(1<<i) != 0)
		}
	}
	add("found", t.found[0])
	if len(t.copy)+len(t.other)+len(t.late)+len(t.lost)+len(t.there) > 1 {
		words += fmt.Sprint(" twice: ", t.copy, t.other, t.late, t.lost, t.there)
	}
	return words
}
