package manifest

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/tree"
)

// remembered is a manifest of everything below root but "left-out".
func remembered(t *testing.T, root string) *Manifest {
	t.Helper()
	m := open(t, filepath.Join(t.TempDir(), "m"))
	skip := func(_ string, e *tree.Entry) bool { return e.Name == "left-out" }
	err := tree.Walk(t.Context(), root, tree.Options{Skip: skip}, func(d *tree.Dir) error {
		return m.Put(d.Path, d.Encode(), bytes.Repeat([]byte{Copied}, len(d.Entries)+1))
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Each kind of late writer is named, with its place.
func TestWhatIsNotAsItWasCopiedIsNamed(t *testing.T) {
	cases := map[string]struct {
		script string
		want   []Change
	}{
		"nothing":                              {"", nil},
		"a reader":                             {"cat a/b/file; ls -R", nil},
		"a file at the top":                    {"touch new", []Change{{"new", Added}}},
		"a file deep below":                    {"touch a/b/new", []Change{{"a/b/new", Added}}},
		"a file that came by a rename":         {"mv ../older a/b/older", []Change{{"a/b/older", Added}}},
		"a file replaced":                      {"echo x > a/b/file.new; mv a/b/file.new a/b/file", []Change{{"a/b/file", Changed}}},
		"a file removed":                       {"rm a/b/file", []Change{{"a/b/file", Gone}}},
		"a file that came and went":            {"touch a/b/new; rm a/b/new", []Change{{"a/b", Attached}}},
		"a file that became a link":            {"rm a/b/file; ln -s x a/b/file", []Change{{"a/b/file", Changed}}},
		"a file written in place":              {"echo y > a/b/file", []Change{{"a/b/file", Changed}}},
		"a file of the same size and time":     {"touch -r a/b/file ../r; printf y > a/b/file; touch -r ../r a/b/file", []Change{{"a/b/file", Changed}}},
		"a file of another mode":               {"chmod 600 a/b/file", []Change{{"a/b/file", Changed}}},
		"another name of a file":               {"ln a/b/file ../other", []Change{{"a/b/file", Changed}}},
		"a link that leads elsewhere":          {"ln -sfn elsewhere a/link", []Change{{"a/link", Changed}}},
		"a folder made":                        {"mkdir -p a/new/in/it", []Change{{"a/new", Added}}},
		"a folder removed":                     {"rm -r a", []Change{{"a", Gone}}},
		"a folder of another mode":             {"chmod 700 a", []Change{{"a", Attached}}},
		"a folder became a link":               {"mv a/b ../c; ln -s ../../c a/b", []Change{{"a/b", Changed}}},
		"a folder became a file":               {"rm -r a/b; touch a/b", []Change{{"a/b", Changed}}},
		"the tree was renamed":                 {`mv "$PWD" "$PWD.aside"; mv "$PWD.aside" "$PWD"`, nil},
		"everything is gone":                   {`rm -r "$PWD"`, []Change{{"", Gone}}},
		"what was left out":                    {"echo y > left-out", nil},
		"what was left out, and a file beside": {"echo y > left-out; touch late", []Change{{"late", Added}, {"left-out", Added}}},
		"a commit":                             {"git -C repo -c user.name=x -c user.email=x commit -q --allow-empty -m late; rm -f repo/.git/COMMIT_EDITMSG", []Change{{"repo/.git/logs/HEAD", Changed}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := filepath.Join(t.TempDir(), "tree")
			sh(t, filepath.Dir(root), `mkdir -p tree/a/b; printf x > tree/a/b/file; touch older; ln -s nowhere tree/a/link; touch tree/left-out
				git init -q tree/repo; git -C tree/repo -c user.name=x -c user.email=x commit -q --allow-empty -m first`)
			m := remembered(t, root)
			sh(t, root, c.script)
			got, err := m.Changes(t.Context(), root, asItIs)
			if err != nil {
				t.Fatal(err)
			}
			if name == "a commit" { // of what git writes only one file
				got = slices.DeleteFunc(got, func(c Change) bool { return c.Path != "repo/.git/logs/HEAD" })
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func asItIs(*tree.Entry) {}

// A copy that belongs to another user than its source is no change.
func TestOwnersThatTheCopyHasAreNoChange(t *testing.T) {
	root := t.TempDir()
	sh(t, root, "mkdir a; touch a/file; ln -s x a/link")
	adopt := func(e *tree.Entry) { e.UID, e.GID = 4711, 4712 }
	m := open(t, filepath.Join(t.TempDir(), "m"))
	err := tree.Walk(t.Context(), root, tree.Options{}, func(d *tree.Dir) error {
		adopt(&d.Self)
		for i := range d.Entries {
			adopt(&d.Entries[i])
		}
		return m.Put(d.Path, d.Encode(), bytes.Repeat([]byte{Copied}, len(d.Entries)+1))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.Changes(t.Context(), root, adopt); len(got) > 0 || err != nil {
		t.Error(got, err)
	}
}

// What is recorded and was not copied whole stands for nothing.
func TestACopyThatIsNotCompleteIsNamed(t *testing.T) {
	root := t.TempDir()
	sh(t, root, "touch file racy")
	m := open(t, filepath.Join(t.TempDir(), "m"))
	for _, want := range [][]Change{{{"", Uncopied}}, {{"file", Uncopied}, {"racy", Uncopied}}} {
		got, err := m.Changes(t.Context(), root, asItIs)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
		d, err := tree.ReadDir(folder(t, root), "", tree.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Put("", d.Encode(), []byte{Copied, 0, Copied | Racy}); err != nil {
			t.Fatal(err)
		}
	}
}

func folder(t *testing.T, path string) int {
	t.Helper()
	fd, err := tree.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func sh(t *testing.T, dir, script string) {
	t.Helper()
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
