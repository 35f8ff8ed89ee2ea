package home

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/hungtest"
)

// A rollback must find the layout while the share is away.
func TestDetectDoesNotWaitForTheShareAfterTheCutOver(t *testing.T) {
	for kind, place := range map[string]string{"real": "data/golden-repos", "assumed": "golden-repos"} {
		t.Run(kind, func(t *testing.T) {
			share, home := hungtest.Share(t), t.TempDir()
			link := filepath.Join(home, place)
			if err := os.MkdirAll(filepath.Join(link+PreCluster, "aliases"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(link+PreCluster, "aliases", "a-global.json"), []byte(`{"target_path":"/x"}`), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join(share, "golden-repos"), link); err != nil {
				t.Fatal(err)
			}
			found := make(chan Layout, 1)
			go func() {
				l, err := Detect(home, share)
				if err != nil {
					t.Error(err)
				}
				found <- l
			}()
			select {
			case l := <-found:
				if tree, _ := l.Tree(cidx.GoldenRepos); l.Kind != kind || tree.Local != link+PreCluster {
					t.Errorf("found %+v", l)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("it waits for the share")
			}
		})
	}
}
