package repath

import (
	"strings"
	"testing"
)

var moves = map[string]string{
	"/home/cidx/.cidx-server/data/golden-repos":    "/mnt/cidx shared/golden-repos",
	"/home/cidx/.cidx-server/data/activated-repos": "/mnt/cidx shared/activated-repos",
	"/home/cidx/.cidx-server/golden-repos":         "/mnt/cidx shared/golden-repos",
}

func TestRewrite(t *testing.T) {
	const old, new = "/home/cidx/.cidx-server/data/golden-repos", "/mnt/cidx shared/golden-repos"
	for name, c := range map[string]struct{ in, want string }{
		"the prefix itself":                               {old, new},
		"a path below it":                                 {old + "/.versioned/billing/v_1", new + "/.versioned/billing/v_1"},
		"a trailing slash is kept":                        {old + "/billing/", new + "/billing/"},
		"sibling directory with the same prefix":          {old + "-old/billing", old + "-old/billing"},
		"sibling file with the same prefix":               {old + ".json", old + ".json"},
		"the parent":                                      {"/home/cidx/.cidx-server/data", "/home/cidx/.cidx-server/data"},
		"another tree of the home":                        {"/home/cidx/.cidx-server/research/x", "/home/cidx/.cidx-server/research/x"},
		"a second tree":                                   {"/home/cidx/.cidx-server/data/activated-repos/a/b", "/mnt/cidx shared/activated-repos/a/b"},
		"the layout without data/":                        {"/home/cidx/.cidx-server/golden-repos/x", new + "/x"},
		"already moved":                                   {new + "/billing", new + "/billing"},
		"doubled and dotted components in the prefix":     {"/home//cidx/./.cidx-server/data/golden-repos/x", new + "/x"},
		"doubled components after the prefix are kept":    {old + "//x//y", new + "//x//y"},
		"leaves the tree":                                 {old + "/../golden-repos-old/x", old + "/../golden-repos-old/x"},
		"climbs but stays":                                {old + "/a/../b", new + "/a/../b"},
		"relative":                                        {"home/cidx/.cidx-server/data/golden-repos/x", "home/cidx/.cidx-server/data/golden-repos/x"},
		"the path inside a sentence":                      {"see " + old + "/x", "see " + old + "/x"},
		"empty":                                           {"", ""},
		"root":                                            {"/", "/"},
		"a NUL byte":                                      {old + "/\x00", old + "/\x00"},
		"non-ASCII names":                                 {old + "/größe/日本", new + "/größe/日本"},
		"a scheme":                                        {"https://h" + old, "https://h" + old},
		"a percent sign is no escape in a plain path":     {strings.Replace(old, "golden", "g%6flden", 1), strings.Replace(old, "golden", "g%6flden", 1)},
		"invalid UTF-8 after the prefix":                  {old + "/\xff", new + "/\xff"},
		"file URL is not a path":                          {"file://" + old, "file://" + old},
		"a component that only starts with two dots":      {old + "/..x", new + "/..x"},
		"deeper than the prefix by the prefix's own name": {old + "/golden-repos", new + "/golden-repos"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Rewrite(c.in, moves); got != c.want {
				t.Errorf("Rewrite(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func TestRewriteURL(t *testing.T) {
	const old = "/home/cidx/.cidx-server/data/golden-repos"
	for name, c := range map[string]struct{ in, want string }{
		"plain path":              {old + "/x", "/mnt/cidx shared/golden-repos/x"},
		"file URL":                {"file://" + old + "/x.git", "file:///mnt/cidx%20shared/golden-repos/x.git"},
		"file URL on localhost":   {"file://localhost" + old, "file://localhost/mnt/cidx%20shared/golden-repos"},
		"upper case scheme":       {"FILE://" + old, "FILE:///mnt/cidx%20shared/golden-repos"},
		"escaped file URL":        {"file:///home/cidx/.cidx-server/data/golden%2Drepos/a%20b", "file:///mnt/cidx%20shared/golden-repos/a%20b"},
		"file URL on a host":      {"file://nas" + old, "file://nas" + old},
		"file URL of a sibling":   {"file://" + old + "-old", "file://" + old + "-old"},
		"file URL that climbs":    {"file://" + old + "/%2e%2e/x", "file://" + old + "/%2e%2e/x"},
		"file URL without a path": {"file://", "file://"},
		"https":                   {"https://git.example.org" + old, "https://git.example.org" + old},
		"ssh":                     {"ssh://git@h" + old, "ssh://git@h" + old},
		"scp form":                {"git@h:" + old, "git@h:" + old},
		"CIDX's local scheme":     {"local://cidx-meta", "local://cidx-meta"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := RewriteURL(c.in, moves); got != c.want {
				t.Errorf("RewriteURL(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func TestNestedPrefixes(t *testing.T) {
	for name, c := range map[string]struct {
		moves    map[string]string
		in, want string
	}{
		"the longest prefix wins": {
			map[string]string{"/a": "/x", "/a/b": "/y"}, "/a/b/c", "/y/c"},
		"a share below the old tree is not moved twice": {
			map[string]string{"/a": "/a/share"}, "/a/share/c", "/a/share/c"},
		"an old tree below the share still moves": {
			map[string]string{"/mnt/home/repos": "/mnt"}, "/mnt/home/repos/c", "/mnt/c"},
		"the root as a prefix never matches": {
			map[string]string{"/": "/x"}, "/a", "/a"},
		"slashes at the ends of a move count for nothing": {
			map[string]string{"/a/": "/x/"}, "/a/b", "/x/b"},
		"a move onto itself changes nothing": {
			map[string]string{"/a": "/a"}, "/a/b", "/a/b"},
		"no moves": {nil, "/a", "/a"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Rewrite(c.in, c.moves); got != c.want {
				t.Errorf("Rewrite(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func FuzzRewrite(f *testing.F) {
	for from := range moves {
		f.Add(from + "/x")
		f.Add("file://" + from + "/x")
		f.Add(from + "-old")
	}
	f.Fuzz(func(t *testing.T, in string) {
		for name, rewrite := range map[string]func(string, map[string]string) string{"Rewrite": Rewrite, "RewriteURL": RewriteURL} {
			once := rewrite(in, moves)
			if twice := rewrite(once, moves); twice != once {
				t.Fatalf("%s is not stable: %q -> %q -> %q", name, in, once, twice)
			}
			if once != in && !strings.Contains(once, "/mnt/cidx") {
				t.Fatalf("%s(%q) = %q, which is neither the value nor below a destination", name, in, once)
			}
		}
	})
}
