package judge

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// tree is one folder that moves to the share. link is the path CIDX uses.
type tree struct {
	name, link, target string
}

// local is where the standalone server's data lies now: at link before the
// cut-over and after a rollback, beside it afterwards.
func (t tree) local() string {
	if info, err := os.Stat(t.link + asideSuffix); err == nil && info.IsDir() {
		return resolved(t.link+asideSuffix, t.target)
	}
	return resolved(t.link, t.target)
}

// layout is where a home keeps its repositories.
type layout struct {
	home, share string
	trees       []tree // golden-repos first
	aliases     string // folder of alias files below golden-repos, "" for its top
}

// findLayout looks for data/golden-repos with alias files or repositories, and
// only then for the golden-repos of old releases.
func findLayout(home, share string) (layout, error) {
	l := layout{home: filepath.Clean(home), share: filepath.Clean(share)}
	real := tree{"golden-repos", filepath.Join(l.home, "data", "golden-repos"), filepath.Join(l.share, "golden-repos")}
	activated := tree{"activated-repos", filepath.Join(l.home, "data", "activated-repos"), filepath.Join(l.share, "activated-repos")}
	if entries, err := os.ReadDir(real.local()); err == nil && len(entries) > 0 {
		l.trees, l.aliases = []tree{real, activated}, "aliases"
		return l, nil
	}
	old := tree{"golden-repos", filepath.Join(l.home, "golden-repos"), real.target}
	if _, err := os.Stat(old.local()); err != nil {
		return l, fmt.Errorf("find repositories of %s: neither data/golden-repos nor golden-repos", home)
	}
	versioned := tree{".versioned", filepath.Join(l.home, ".versioned"), filepath.Join(l.share, ".versioned")}
	l.trees = []tree{old, versioned, activated}
	return l, nil
}

// Spellings of a path in PostgreSQL.
const (
	SpellMount  = "mount"
	SpellLocal  = "local"
	SpellEither = "either"
)

// pathRule says how a path below one of the trees must be spelled.
type pathRule struct {
	trees    []tree
	spelling string
}

// moved answers a path as it is spelled on the share, at path boundaries only. An untidy path that moves comes out tidy.
func (p *pathRule) moved(path string) string {
	for _, t := range p.trees {
		if rest, in := strings.CutPrefix(tidy(path), t.link); in && (rest == "" || rest[0] == '/') {
			return t.target + rest
		}
	}
	return path
}

func (p *pathRule) equal(was, is string) bool {
	switch p.spelling {
	case SpellLocal:
		return right(was, was, is)
	case SpellEither:
		return right(was, was, is) || right(was, p.moved(was), is)
	}
	return right(was, p.moved(was), is)
}

// equalURL treats absolute paths and file:// as paths; other URLs never change.
func (p *pathRule) equalURL(was, is string) bool {
	if rest, in := strings.CutPrefix(was, "file://"); in {
		got, still := strings.CutPrefix(is, "file://")
		return was == is || still && p.equal(decoded(rest), decoded(got))
	}
	if strings.HasPrefix(was, "/") {
		return p.equal(was, is)
	}
	return was == is
}
