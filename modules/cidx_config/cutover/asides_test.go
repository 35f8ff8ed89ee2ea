package cutover

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
)

// The list is kept as JSON, which has no byte that is not UTF-8: a name with one is
// neither gone nor new.
func TestNamesThatAreNoUTF8AreFoundAgain(t *testing.T) {
	tree := home.Tree{Name: cidx.GoldenRepos, Link: filepath.Join(t.TempDir(), "golden-repos")}
	for _, name := range []string{"billing/caf\xe9\xff.py", "billing/x\nMigration complete!\x1b[2J"} {
		if err := os.MkdirAll(filepath.Join(tree.Aside(), name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	names, err := namesBelow(tree.Aside())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	if err := json.Unmarshal(raw, &kept); err != nil {
		t.Fatal(err)
	}
	if err := incomplete(tree, kept, true); err != nil {
		t.Error(err)
	}
}
