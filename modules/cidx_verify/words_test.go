package verify

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
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
