package mirror

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNeighboursInALevelLieInDifferentFolders(t *testing.T) {
	got := levels([]string{"a", "b", "a/1", "a/2", "a/3", "b/1", "b/2", "a/1/x"}, func(path string) string { return path })
	want := [][]string{{"a", "b"}, {"a/1", "b/1", "a/2", "b/2", "a/3"}, {"a/1/x"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
