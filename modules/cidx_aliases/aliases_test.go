package aliases

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
)

// world is a home with two repositories and a share beside it.
type world struct {
	home, share string
}

var written = time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)

func newWorld(t *testing.T) world {
	t.Helper()
	base := t.TempDir()
	w := world{home: filepath.Join(base, "home"), share: filepath.Join(base, "share")}
	for _, dir := range []string{"data/golden-repos/billing/.git", "data/golden-repos/.versioned/billing/v_2", "data/golden-repos/web", "data/golden-repos/aliases"} {
		must(t, os.MkdirAll(filepath.Join(w.home, dir), 0o755))
	}
	must(t, os.MkdirAll(w.share, 0o755))
	w.put(t, "config.json", fmt.Sprintf(`{"storage_mode":"postgres","server_dir":%q,"postgres_dsn":"postgresql://c:pw12345@h/d","cluster":{"node_id":"n"},"ontap":{"mount_point":%q}}`, w.home, w.share))
	w.put(t, "data/golden-repos/aliases/billing-global.json", w.alias(w.repos()+"/.versioned/billing/v_2", w.repos()+"/billing"))
	w.put(t, "data/golden-repos/aliases/web-global.json", w.alias(w.repos()+"/web", ""))
	w.put(t, "data/golden-repos/metadata.json", `{"legacy": true}`)
	return w
}

func (w world) repos() string { return filepath.Join(w.home, "data/golden-repos") }

func (w world) alias(target, previous string) string {
	if previous == "" {
		return fmt.Sprintf("{\n  \"target_path\": %q,\n  \"repo_name\": \"x\"\n}", target)
	}
	return fmt.Sprintf("{\n  \"target_path\": %q,\n  \"previous_path\": %q\n}", target, previous)
}

func (w world) put(t *testing.T, rel, content string) {
	t.Helper()
	path := filepath.Join(w.home, rel)
	must(t, os.WriteFile(path, []byte(content), 0o600))
	if os.Geteuid() == 0 {
		must(t, os.Chown(path, 12345, 23456))
	}
	must(t, os.Chtimes(path, written, written))
}

// copyTrees does what the copy step leaves.
func (w world) copyTrees(t *testing.T) {
	t.Helper()
	must(t, os.CopyFS(filepath.Join(w.share, "golden-repos"), os.DirFS(w.repos())))
}

func (w world) run(t *testing.T, more ...string) gjson.Result {
	t.Helper()
	arguments := map[string]any{"home": w.home}
	for _, m := range more {
		arguments[m] = true
	}
	raw, err := json.Marshal(arguments)
	must(t, err)
	return gjson.ParseBytes(Module().Run(t.Context(), raw, nil))
}

func (w world) onShare(t *testing.T, rel string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(w.share, "golden-repos", rel))
	must(t, err)
	return string(raw)
}

// snapshot is every file below dir with its content, mode, owner and time.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	must(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		content := ""
		if info.Mode().IsRegular() {
			raw, err := os.ReadFile(path)
			must(t, err)
			content = string(raw)
		}
		owner := info.Sys().(*syscall.Stat_t)
		found[path] = fmt.Sprint(info.Mode(), owner.Uid, owner.Gid, info.ModTime(), owner.Ino, content)
		return nil
	}))
	return found
}

const (
	billing = "aliases/billing-global.json"
	web     = "aliases/web-global.json"
)

func TestRealRun(t *testing.T) {
	w := newWorld(t)
	w.copyTrees(t)
	before := snapshot(t, w.repos())
	reply := w.run(t)
	if reply.Get("failed").Bool() || !reply.Get("changed").Bool() || reply.Get("lines.0").Str != "  Updated 2 alias files" {
		t.Fatal(reply.Raw)
	}
	on := filepath.Join(w.share, "golden-repos")
	if diff := cmp.Diff(w.alias(on+"/.versioned/billing/v_2", on+"/billing"), w.onShare(t, billing)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, snapshot(t, w.repos())); diff != "" {
		t.Error("an original was touched:", diff)
	}
	info, err := os.Stat(filepath.Join(on, web))
	must(t, err)
	owner := info.Sys().(*syscall.Stat_t)
	if info.Mode() != 0o600 || !info.ModTime().Equal(written) || os.Geteuid() == 0 && (owner.Uid != 12345 || owner.Gid != 23456) {
		t.Errorf("mode %v, time %v, owner %d:%d", info.Mode(), info.ModTime(), owner.Uid, owner.Gid)
	}
	if got := reply.Get("left_alone.0.file").Str; got != filepath.Join(w.repos(), "metadata.json") {
		t.Errorf("left alone: %s", reply.Get("left_alone").Raw)
	}
	everything := snapshot(t, filepath.Dir(w.home))
	again := w.run(t)
	if again.Get("changed").Bool() || again.Get("failed").Bool() || again.Get("lines.0").Str != "  Up to date: 2 alias files" {
		t.Error(again.Raw)
	}
	if diff := cmp.Diff(everything, snapshot(t, filepath.Dir(w.home))); diff != "" {
		t.Error("the second run changed something:", diff)
	}
}

func TestWhateverLiesOnTheShareBecomesWhatBelongsThere(t *testing.T) {
	w := newWorld(t)
	w.copyTrees(t)
	w.run(t)
	want := w.onShare(t, billing)
	for name, spoil := range map[string]func(path string) error{
		"a copy that brought the original again": func(p string) error {
			return os.WriteFile(p, []byte(w.alias(w.repos()+"/billing", "")), 0o600)
		},
		"half a file": func(p string) error { return os.WriteFile(p, []byte(want[:20]), 0o600) },
		"no file":     os.Remove,
		"a stale alias of an earlier migration": func(p string) error {
			return os.WriteFile(p, []byte(w.alias(w.share+"/golden-repos/.versioned/billing/v_1", "")), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			must(t, spoil(filepath.Join(w.share, "golden-repos", billing)))
			reply := w.run(t)
			if reply.Get("failed").Bool() || reply.Get("lines.0").Str != "  Updated 1 alias file" || w.onShare(t, billing) != want {
				t.Error(reply.Raw)
			}
		})
	}
}

func TestRehearsalNeedsNoCopyAndChangesNothing(t *testing.T) {
	w := newWorld(t)
	before := snapshot(t, filepath.Dir(w.home))
	reply := w.run(t, "_ansible_check_mode", "_ansible_diff")
	if reply.Get("failed").Bool() || !reply.Get("changed").Bool() || reply.Get("lines.0").Str != "  Would update 2 alias files" || reply.Get("updated").Int() != 2 {
		t.Error(reply.Raw)
	}
	if d := reply.Get("diff").Array(); len(d) != 2 || !strings.Contains(d[0].Get("after").Str, w.share) || strings.Contains(d[0].Get("before").Str, w.share) {
		t.Error(reply.Get("diff").Raw)
	}
	if diff := cmp.Diff(before, snapshot(t, filepath.Dir(w.home))); diff != "" {
		t.Error(diff)
	}
}

func TestRefused(t *testing.T) {
	files, err := filepath.Glob("testdata/refused/*.json")
	must(t, err)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			w := newWorld(t)
			doc, err := os.ReadFile(file)
			must(t, err)
			doc = []byte(strings.ReplaceAll(string(doc), "/home/cidx/.cidx-server", w.home))
			message, err := os.ReadFile(strings.TrimSuffix(file, ".json") + ".message")
			must(t, err)
			w.put(t, "data/golden-repos/aliases/bad-global.json", string(doc))
			w.copyTrees(t)
			before := snapshot(t, filepath.Dir(w.home))
			for _, mode := range [][]string{{"_ansible_check_mode"}, {}} {
				reply := w.run(t, mode...)
				p := reply.Get("problems.0")
				if !reply.Get("failed").Bool() || !strings.Contains(p.Get("what").Str, strings.TrimSpace(string(message))) || p.Get("fix").Str == "" || p.Get("at").Str != filepath.Join(w.repos(), "aliases/bad-global.json") {
					t.Errorf("want %q\n%s", message, reply.Raw)
				}
			}
			if diff := cmp.Diff(before, snapshot(t, filepath.Dir(w.home))); diff != "" {
				t.Error("a refused run changed something:", diff)
			}
		})
	}
}

// Whoever opens a pipe waits for its other end.
func TestPipesAmongTheAliasFilesAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.copyTrees(t)
	must(t, syscall.Mkfifo(filepath.Join(w.repos(), "aliases/pipe.json"), 0o600))
	must(t, os.Symlink("pipe.json", filepath.Join(w.repos(), "aliases/link.json")))
	reply := w.run(t)
	if got := reply.Get("left_alone.#.file").Raw; reply.Get("failed").Bool() || !strings.Contains(got, "pipe.json") || !strings.Contains(got, "link.json") {
		t.Error(reply.Raw)
	}
}

func TestRefusedOnTheShare(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, w world)
		want  string
	}{
		"nothing was copied": {func(*testing.T, world) {}, "has not been copied"},
		"one snapshot was not copied": {func(t *testing.T, w world) {
			w.copyTrees(t)
			must(t, os.RemoveAll(filepath.Join(w.share, "golden-repos/.versioned")))
		}, "v_2 does not exist"},
		"the folder of aliases on the share is a link to the originals": {func(t *testing.T, w world) {
			w.copyTrees(t)
			must(t, os.RemoveAll(filepath.Join(w.share, "golden-repos/aliases")))
			must(t, os.Symlink(filepath.Join(w.repos(), "aliases"), filepath.Join(w.share, "golden-repos/aliases")))
		}, "is a link to"},
		"an alias file on the share is a link to the original": {func(t *testing.T, w world) {
			w.copyTrees(t)
			must(t, os.Remove(filepath.Join(w.share, "golden-repos", web)))
			must(t, os.Symlink(filepath.Join(w.repos(), web), filepath.Join(w.share, "golden-repos", web)))
		}, "is not a regular file"},
		"a pipe in place of an alias file on the share": {func(t *testing.T, w world) {
			w.copyTrees(t)
			must(t, os.Remove(filepath.Join(w.share, "golden-repos", web)))
			must(t, syscall.Mkfifo(filepath.Join(w.share, "golden-repos", web), 0o600))
		}, "web-global.json: not a regular file"},
		"an original is a link": {func(t *testing.T, w world) {
			must(t, os.Rename(filepath.Join(w.repos(), web), filepath.Join(w.home, "web.json")))
			must(t, os.Symlink(filepath.Join(w.home, "web.json"), filepath.Join(w.repos(), web)))
			must(t, os.MkdirAll(filepath.Join(w.share, "golden-repos/.versioned/billing/v_2"), 0o755))
		}, "is a symbolic link"},
		"a target that leads out of the share": {func(t *testing.T, w world) {
			w.copyTrees(t)
			must(t, os.Remove(filepath.Join(w.share, "golden-repos/web")))
			must(t, os.Symlink(filepath.Join(w.repos(), "web"), filepath.Join(w.share, "golden-repos/web")))
		}, "leads out of the share"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.spoil(t, w)
			originals := snapshot(t, w.home)
			reply := w.run(t)
			if !reply.Get("failed").Bool() || !strings.Contains(reply.Get("msg").Str, c.want) {
				t.Errorf("want %q\n%s", c.want, reply.Raw)
			}
			now := snapshot(t, w.home)
			for path, state := range originals {
				if !strings.Contains(path, ".cluster-migrate") && path != w.home && now[path] != state {
					t.Errorf("%s was touched", path)
				}
			}
		})
	}
}

// Links are copied as they are: one into the server's own tree leads to the
// share once that tree is a link.
func TestATargetBehindALinkIntoTheTreesIsOnTheShare(t *testing.T) {
	w := newWorld(t)
	must(t, os.Symlink(filepath.Join(w.repos(), "web"), filepath.Join(w.repos(), "site")))
	w.put(t, "data/golden-repos/"+web, w.alias(w.repos()+"/site", ""))
	w.copyTrees(t)
	on := filepath.Join(w.share, "golden-repos/site")
	must(t, os.RemoveAll(on)) // CopyFS follows links
	must(t, os.Symlink(filepath.Join(w.repos(), "web"), on))
	if reply := w.run(t); reply.Get("failed").Bool() || w.onShare(t, web) != w.alias(on, "") {
		t.Error(reply.Raw)
	}
}

func TestAfterTheCutOverTheFilesBelongToTheCluster(t *testing.T) {
	w := newWorld(t)
	w.copyTrees(t)
	w.run(t)
	must(t, os.Rename(w.repos(), w.repos()+".pre-cluster"))
	must(t, os.Symlink(filepath.Join(w.share, "golden-repos"), w.repos()))
	refreshed := w.alias(w.repos()+"/.versioned/billing/v_3", "")
	must(t, os.WriteFile(filepath.Join(w.share, "golden-repos", billing), []byte(refreshed), 0o600))
	reply := w.run(t)
	if !reply.Get("skipped").Bool() || reply.Get("changed").Bool() || w.onShare(t, billing) != refreshed {
		t.Error(reply.Raw)
	}
}

func TestATreeThatLiesOnTheShareAlreadyIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	must(t, os.Rename(w.repos(), filepath.Join(w.share, "golden-repos")))
	must(t, os.Symlink(filepath.Join(w.share, "golden-repos"), w.repos()))
	before := snapshot(t, w.share)
	if reply := w.run(t); !reply.Get("skipped").Bool() {
		t.Error(reply.Raw)
	}
	if diff := cmp.Diff(before, snapshot(t, w.share)); diff != "" {
		t.Error(diff)
	}
}

// An alias file on the share that no repository has any more would reach the
// cluster: it is moved aside, and the rehearsal says so.
func TestStaleAliasFilesOnTheShareAreMovedAside(t *testing.T) {
	w := newWorld(t)
	w.copyTrees(t)
	stale, other := filepath.Join(w.share, "golden-repos/aliases/removed-global.json"), filepath.Join(w.share, "golden-repos/aliases/notes.json")
	must(t, os.WriteFile(stale, []byte(w.alias("/mnt/x/golden-repos/removed", "")), 0o600))
	must(t, os.WriteFile(other, []byte(`{"no": "alias"}`), 0o600))
	before := snapshot(t, w.share)
	reply := w.run(t, "_ansible_check_mode")
	if diff := cmp.Diff(before, snapshot(t, w.share)); diff != "" {
		t.Error("the rehearsal changed something:", diff)
	}
	if got := reply.Get("warnings.0").Str; !strings.Contains(got, stale) || !strings.Contains(got, "will be moved to "+w.share+"/.cidx-aside") || reply.Get("stale.0").Str != stale {
		t.Error(reply.Raw)
	}
	if reply = w.run(t); reply.Get("failed").Bool() || !strings.Contains(reply.Get("warnings.0").Str, "was moved to") {
		t.Error(reply.Raw)
	}
	if _, err := os.Lstat(stale); err == nil {
		t.Error("it lies there still")
	}
	if _, err := os.Lstat(other); err != nil {
		t.Error(err)
	}
	moved, err := filepath.Glob(filepath.Join(w.share, ".cidx-aside/*/golden-repos/aliases/removed-global.json"))
	if err != nil || len(moved) != 1 {
		t.Error(moved, err)
	}
	if reply = w.run(t); reply.Get("changed").Bool() {
		t.Error(reply.Raw)
	}
}

func TestTheAssumedLayoutHasAliasesAtItsTop(t *testing.T) {
	w := newWorld(t)
	must(t, os.RemoveAll(filepath.Join(w.home, "data")))
	must(t, os.MkdirAll(filepath.Join(w.home, "golden-repos/billing"), 0o755))
	must(t, os.MkdirAll(filepath.Join(w.home, ".versioned/billing/v_2"), 0o755))
	w.put(t, "golden-repos/billing-global.json", w.alias(w.home+"/.versioned/billing/v_2", w.home+"/golden-repos/billing"))
	must(t, os.CopyFS(filepath.Join(w.share, "golden-repos"), os.DirFS(filepath.Join(w.home, "golden-repos"))))
	must(t, os.CopyFS(filepath.Join(w.share, ".versioned"), os.DirFS(filepath.Join(w.home, ".versioned"))))
	reply := w.run(t)
	if diff := cmp.Diff(w.alias(w.share+"/.versioned/billing/v_2", w.share+"/golden-repos/billing"), w.onShare(t, "billing-global.json")); diff != "" {
		t.Error(diff, reply.Raw)
	}
}
