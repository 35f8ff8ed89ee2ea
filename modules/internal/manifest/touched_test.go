package manifest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cidx-cluster/modules/internal/tree"
)

// remembered is a manifest of everything below root.
func remembered(t *testing.T, root string) *Manifest {
	t.Helper()
	m := open(t, filepath.Join(t.TempDir(), "m"))
	err := tree.Walk(context.Background(), root, tree.Options{}, func(d *tree.Dir) error {
		return m.Put(d.Path, d.Encode(), bytes.Repeat([]byte{Copied}, len(d.Entries)+1))
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTouchedFoldersAreThoseInWhichANameCameOrWent(t *testing.T) {
	sh := func(script string) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			cmd := exec.Command("sh", "-ec", script)
			cmd.Dir = root
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
	cases := map[string]struct {
		do   func(*testing.T, string)
		want []string
	}{
		"nothing":                {func(*testing.T, string) {}, nil},
		"a reader":               {sh("cat a/b/file; ls -R"), nil},
		"a file at the top":      {sh("touch new"), []string{""}},
		"a file deep below":      {sh("touch a/b/new"), []string{"a/b"}},
		"a file replaced":        {sh("echo x > a/b/file.new; mv a/b/file.new a/b/file"), []string{"a/b"}},
		"a file removed":         {sh("rm a/b/file"), []string{"a/b"}},
		"a folder removed":       {sh("rm -r a/b"), []string{"a", "a/b"}},
		"a folder made":          {sh("mkdir a/b/c"), []string{"a/b"}},
		"a folder became a link": {sh("mv a/b c; ln -s ../c a/b"), []string{"", "a", "a/b"}},
		"the tree was renamed":   {sh(`mv "$PWD" "$PWD.aside"; mkdir "$PWD.aside/../x"; mv "$PWD.aside" "$PWD"`), nil},
		"everything is gone":     {func(t *testing.T, root string) { _ = os.RemoveAll(root) }, []string{"", "a", "a/b"}},
		// Names are as they were.
		"a file written in place":       {sh("echo y > a/b/file"), nil},
		"a file of the same size":       {sh("touch -r a/b/file r; printf y > a/b/file; touch -r r a/b/file; mv r ..; touch -d @1 ."), []string{""}},
		"a file of another mode":        {sh("chmod 600 a/b/file"), nil},
		"a folder of another mode":      {sh("chmod 700 a"), nil},
		"another link of the same file": {sh("ln a/b/file ../other"), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "tree")
			if err := os.MkdirAll(filepath.Join(root, "a/b"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, "a/b/file"), []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
			m := remembered(t, root)
			c.do(t, root)
			got, err := m.Touched(t.Context(), root)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, slices.Clip(got)); diff != "" && len(c.want)+len(got) > 0 {
				t.Error(diff)
			}
		})
	}
}
