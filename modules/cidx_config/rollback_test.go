package config

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/hometest"
)

func TestARollbackThatWouldLoseARepositoryIsRefused(t *testing.T) {
	h := ready(t)
	to(t, h, home.ToCluster)
	// Rolled back by hand, then used standalone through the links.
	raw, err := os.ReadFile(h.Path("config.json.pre-cluster"))
	must(t, err)
	must(t, os.WriteFile(h.Path("config.json"), raw, 0o640))
	h.HotSQL(t, "data/cidx_server.db", fmt.Sprintf("INSERT INTO golden_repos_metadata VALUES ('new', '', '%s')", h.Path("data/golden-repos/new")))
	must(t, os.Mkdir(filepath.Join(h.Share, "golden-repos/new"), 0o755))
	before := homeNow(t, h)
	_, err = call(h, home.ToStandalone, ansible.Mode{}, nil)
	if err == nil || !strings.Contains(err.Error(), "repository new is registered") || !strings.Contains(err.Error(), "rsync -a") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, homeNow(t, h)); diff != "" {
		t.Error(diff)
	}
	must(t, os.CopyFS(h.Path("data/golden-repos.pre-cluster/new"), os.DirFS(filepath.Join(h.Share, "golden-repos/new"))))
	to(t, h, home.ToStandalone)
}

func TestARollbackWithoutABackupMakesTheStandaloneConfiguration(t *testing.T) {
	h := hometest.New(t, "postgresql://cidx@127.0.0.1:1/cidx") // stopped, and then the run ended
	reply := to(t, h, home.ToStandalone)
	want, err := os.ReadFile(h.Path("config.json.bak.20260102_030405"))
	must(t, err)
	for _, name := range []string{"config.json", "config.json.pre-cluster"} {
		if raw, err := os.ReadFile(h.Path(name)); err != nil || string(raw) != string(want) {
			t.Errorf("%s: %s, %v", name, raw, err)
		}
	}
	if !reply.Changed {
		t.Error("changed is false")
	}
	if kept, err := home.ReadConfig(context.Background(), h.Path(".cluster-migrate/config.json.cluster")); err != nil || !kept.Cluster() {
		t.Errorf("the cluster's settings are lost: %v", err)
	}
}

func TestALostConfigurationComesBack(t *testing.T) {
	h := ready(t)
	to(t, h, home.ToCluster)
	must(t, os.Remove(h.Path("config.json")))
	to(t, h, home.ToStandalone)
	same, err := os.ReadFile(h.Path("config.json.pre-cluster"))
	must(t, err)
	if raw, err := os.ReadFile(h.Path("config.json")); err != nil || string(raw) != string(same) {
		t.Errorf("%s, %v", raw, err)
	}
}

func TestARollbackWorksWithoutTheShare(t *testing.T) {
	h := ready(t)
	to(t, h, home.ToCluster)
	must(t, os.RemoveAll(h.Share))
	to(t, h, home.ToStandalone)
	if info, err := os.Lstat(h.Path("data/golden-repos/web")); err != nil || !info.IsDir() {
		t.Errorf("the folder is not back: %v", err)
	}
}
