package verify

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cidx-cluster/modules/internal/cidxapi"
)

func TestTelling(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		taken []string
		want  string
	}{
		"the longest word":                          {text: "def total(invoice, amount):", want: "invoice"},
		"of equally long ones the first":            {text: "alpha gamma", want: "alpha"},
		"no part of an identifier with underscores": {text: "very_long_identifier short", want: "short"},
		"no part of a word with other letters":      {text: "Straßenbahn tram5", want: "tram5"},
		"no keywords of languages":                  {text: "function import return shelf", want: "shelf"},
		"nothing shorter than five":                 {text: "a bb ccc dddd", want: ""},
		"nothing longer than twenty":                {text: "abcdefghijklmnopqrstuvwxyz", want: ""},
		"no number":                                 {text: "1234567 9lives", want: ""},
		"not a word that was offered before":        {text: "Invoice amount", taken: []string{"invoice"}, want: "amount"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := telling(c.text, c.taken); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestWordsInReadsNoBookkeepingAndNoBinary(t *testing.T) {
	dir := t.TempDir()
	for path, content := range map[string]string{
		".code-indexer/config.json": "secretindex", ".git/config": "repositoryformat", "a.bin": "binarycontent\x00",
		"src/deep/b.py": "wanted_ findable", "z.unknown": "lesspromising",
	} {
		must(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, path), []byte(content), 0o644))
	}
	got, err := wordsIn(t.Context(), dir)
	if diff := cmp.Diff([]string{"findable", "lesspromising"}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestWordsInPrefersWhatGitTracks(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "tracked name.md"), []byte("versioned"), 0o644))
	do(t, nil, "git", "-C", dir, "init", "-q")
	do(t, nil, "git", "-C", dir, "add", ".")
	must(t, os.WriteFile(filepath.Join(dir, "a.py"), []byte("leftbehind"), 0o644))
	got, err := wordsIn(t.Context(), dir)
	if diff := cmp.Diff([]string{"versioned"}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	must(t, os.Remove(filepath.Join(dir, "tracked name.md")))
	if _, err := wordsIn(t.Context(), dir); err == nil {
		t.Error("no error although every tracked file is gone")
	}
}

func TestBelowBelievesOnlyFilesOfTheRepository(t *testing.T) {
	base := t.TempDir()
	dir, link := filepath.Join(base, "share", "billing"), filepath.Join(base, "link")
	must(t, os.MkdirAll(filepath.Join(dir, "src"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "src", "a.py"), nil, 0o644))
	must(t, os.WriteFile(filepath.Join(base, "other.py"), nil, 0o644))
	must(t, os.Symlink(dir, link))
	for name, c := range map[string]struct {
		hit  cidxapi.Hit
		want bool
	}{
		"relative":                             {cidxapi.Hit{Path: "src/a.py"}, true},
		"relative, behind the alias":           {cidxapi.Hit{Path: "billing-global/src/a.py"}, true},
		"absolute below the target":            {cidxapi.Hit{Path: filepath.Join(dir, "src/a.py")}, true},
		"absolute through the link":            {cidxapi.Hit{Path: filepath.Join(link, "src/a.py")}, true},
		"a file that is not there":             {cidxapi.Hit{Path: "src/b.py"}, false},
		"a file elsewhere":                     {cidxapi.Hit{Path: filepath.Join(base, "other.py")}, false},
		"a file elsewhere, relative":           {cidxapi.Hit{Path: "../../other.py"}, false},
		"of another repository":                {cidxapi.Hit{Path: "src/a.py", Alias: "web-global"}, false},
		"without a path":                       {cidxapi.Hit{Alias: "billing-global"}, false},
		"the repository's folder itself is no": {cidxapi.Hit{Path: "."}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := len(below(link, "billing-global", []cidxapi.Hit{c.hit})) == 1; got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
