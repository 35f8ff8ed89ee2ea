package search

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
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
	got, err := wordsIn(t.Context(), []string{filepath.Dir(dir)}, dir)
	if diff := cmp.Diff([]string{"findable", "lesspromising"}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestWordsInPrefersWhatGitTracks(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "tracked name.md"), []byte("versioned"), 0o644))
	must(t, exec.Command("git", "-C", dir, "init", "-q").Run())
	must(t, exec.Command("git", "-C", dir, "add", ".").Run())
	must(t, os.WriteFile(filepath.Join(dir, "a.py"), []byte("leftbehind"), 0o644))
	got, err := wordsIn(t.Context(), []string{filepath.Dir(dir)}, dir)
	if diff := cmp.Diff([]string{"versioned"}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	must(t, os.Remove(filepath.Join(dir, "tracked name.md")))
	if _, err := wordsIn(t.Context(), []string{filepath.Dir(dir)}, dir); err == nil {
		t.Error("no error although every tracked file is gone")
	}
}

func TestWordsOfForeignFilesAreNotOffered(t *testing.T) {
	top, foreign := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(foreign, "secret.py"), []byte("rootspassword"), 0o644))
	repos := filepath.Join(top, "repos")
	must(t, os.MkdirAll(filepath.Join(repos, "own"), 0o755))
	must(t, os.WriteFile(filepath.Join(repos, "own", "own.md"), []byte("belongs"), 0o644))
	for name, make := range map[string]func(path string) error{
		"a file that is a link":   func(path string) error { return os.Symlink(filepath.Join(foreign, "secret.py"), path+"/a.py") },
		"a folder that is a link": func(path string) error { return os.Symlink(foreign, path+"/src") },
		"a pipe":                  func(path string) error { return syscall.Mkfifo(path+"/b.py", 0o644) },
		"an index that names what is outside": func(path string) error {
			must(t, os.Symlink(foreign, path+"/src"))
			must(t, exec.Command("git", "-C", path, "init", "-q").Run())
			must(t, exec.Command("git", "-C", path, "update-index", "--add", "--cacheinfo", "100644,e69de29bb2d1d6434b8b29ae775ad8c2e48c5391,src/secret.py").Run())
			return os.WriteFile(path+"/c.md", nil, 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(repos, "own")
			must(t, make(path))
			defer os.RemoveAll(path + "/.git")
			defer os.Remove(path + "/src")
			got, err := wordsIn(t.Context(), []string{repos}, path)
			if strings.Contains(strings.Join(got, " "), "rootspassword") {
				t.Error("a word of a foreign file is offered")
			}
			if err != nil && !strings.Contains(err.Error(), "git tracks files") {
				t.Error(err)
			}
		})
	}
	for name, to := range map[string]string{"a snapshot that is a link": foreign, "the tree above": top} {
		t.Run(name, func(t *testing.T) {
			link := filepath.Join(repos, "link")
			must(t, os.Symlink(to, link))
			defer os.Remove(link)
			if got, err := wordsIn(t.Context(), []string{repos}, link); !errors.Is(err, errOutside) || len(got) > 0 {
				t.Error(got, err)
			}
		})
	}
}
