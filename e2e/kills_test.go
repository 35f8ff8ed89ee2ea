package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKilledCopies kills the copy with signal 9 at random moments, by turns the
// one that goes on while the server answers and the one after the stop, and
// starts it again each time. The judge has to find both trees equal and the
// source untouched, every time. KILLS in the environment says how often
// (default 2); a further SEED repeats a run.
func TestKilledCopies(t *testing.T) {
	newKiller(t, numberOf(t, "KILLS", 2), "").series()
}

// TestKilledCopiesAsTheServiceUser is the same where root is nobody on the
// share: then the process that is killed is not the one that copies.
func TestKilledCopiesAsTheServiceUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("becoming another user needs root")
	}
	newKiller(t, numberOf(t, "KILLS", 1), "backup").series()
}

func (k *killer) series() {
	for i := range k.wanted {
		if i%2 == 0 {
			k.round("warm", k.emptyShare)
		} else {
			k.round("delta", k.changeSource)
		}
	}
	k.t.Logf("%d of %d killed copies were finished by the next run: trees equal, source untouched", k.equal, k.wanted)
}

// killer is one series of killed copies of one server's trees.
type killer struct {
	*kills
	equal   int
	took    map[string]time.Duration // an undisturbed run, by phase
	changes int
}

// newKiller stages a server; with a user it is that one's, and root is squashed.
func newKiller(t *testing.T, wanted int, user string) *killer {
	k := &killer{kills: newKills(t, wanted, 1), took: map[string]time.Duration{}}
	o := k.options()
	o.User = user
	o.Seed.Repos, o.Seed.Rows, o.Seed.FilesPerRepo = 8, 15, 150
	if user != "" { // the squashed share asks its backing for every single name
		o.Seed.Repos, o.Seed.FilesPerRepo = 3, 90
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	k.up(ctx, o)
	if user != "" {
		k.do(k.st.box.Export(ctx, "-squash"))
	}
	// A file that is copied by a process of its own.
	large := filepath.Join(k.golden(), "billing", "large.pack")
	k.do(os.WriteFile(large, bytes.Repeat([]byte("0123456789abcdef"), 5<<20), 0o644))

	k.own()
	// The first copy from nothing fills caches; the second one is measured.
	for range 2 {
		k.emptyShare()
		k.took["warm"] = k.finish("warm")
	}
	k.changeSource()
	k.took["delta"] = k.finish("delta")
	return k
}

// stored is where the files of the share lie for root.
func (k *killer) stored() string {
	if k.st.box.User != "" {
		return k.st.box.Backing()
	}
	return k.st.box.Share
}

// own gives the home to its user, as everything that the server wrote is.
func (k *killer) own() {
	if user := k.st.box.User; user != "" {
		out, err := exec.Command("chown", "-hR", user+":"+user, filepath.Join(k.st.box.Home, "data")).CombinedOutput()
		if err != nil {
			k.t.Fatalf("chown: %v: %s", err, out)
		}
	}
}

func (k *killer) golden() string { return filepath.Join(k.st.box.Home, "data", "golden-repos") }

// round kills one copy and lets the next run finish it.
func (k *killer) round(phase string, prepare func()) {
	k.t.Helper()
	for range 20 { // a run that was faster than its killer does not count
		prepare()
		k.judge("hash", "-out", k.stateFile())
		after := time.Duration(k.random.Int64N(int64(k.took[phase])))
		if !k.kill(phase+": the copy", after, "cidx_files", map[string]any{"phase": phase}) {
			continue
		}
		entries := k.onShare()
		again := k.finish(phase)
		k.judge("equal", "-share", k.st.box.Share, "-only", "files")
		k.judge("same", "-before", k.stateFile(), "-except", "home,home/.cluster-migrate") // which it makes
		k.equal++
		k.t.Logf("%-5s killed after %4d ms of about %4d with %5d entries on the share; the next run took %4d ms: equal",
			phase, after.Milliseconds(), k.took[phase].Milliseconds(), entries, again.Milliseconds())
		return
	}
	k.t.Fatalf("%s: 20 runs ended before they could be killed", phase)
}

func (k *killer) stateFile() string { return filepath.Join(k.st.work, "before.hash") }

// emptyShare begins from nothing: no copy, and no memory of one.
func (k *killer) emptyShare() {
	entries, err := os.ReadDir(k.stored())
	k.do(err)
	for _, e := range entries {
		k.do(os.RemoveAll(filepath.Join(k.stored(), e.Name())))
	}
	k.do(os.RemoveAll(filepath.Join(k.st.box.Home, ".cluster-migrate")))
}

// changeSource does to every seventh vector what a server does to files: write
// them anew, add, rename and remove some; and a folder becomes another.
func (k *killer) changeSource() {
	k.changes++
	files, err := filepath.Glob(filepath.Join(k.golden(), "*", ".code-indexer", "index", "*", "*", "*", "*.json"))
	k.do(err)
	if len(files) < 100 {
		k.t.Fatalf("only %d vectors in %s", len(files), k.golden())
	}
	for i, path := range files {
		switch (i + k.changes) % 28 {
		case 0:
			k.do(os.WriteFile(path, fmt.Appendf(nil, `{"round": %d}`, k.changes), 0o644))
		case 7:
			k.do(os.WriteFile(filepath.Join(filepath.Dir(path), fmt.Sprintf("vector_%d_%d.json", k.changes, i)), []byte("{}"), 0o600))
		case 14:
			k.do(os.Rename(path, strings.TrimSuffix(path, ".json")+"a.json"))
		case 21:
			k.do(os.Remove(path))
		}
	}
	fresh := filepath.Join(k.golden(), "billing", fmt.Sprintf("round-%d", k.changes))
	k.do(os.MkdirAll(fresh, 0o755))
	k.do(os.WriteFile(filepath.Join(fresh, "note"), bytes.Repeat([]byte("x"), k.changes*1000), 0o640))
	k.do(os.RemoveAll(filepath.Join(k.golden(), "billing", fmt.Sprintf("round-%d", k.changes-1))))
	k.own()
}

// onShare counts what has been copied.
func (k *killer) onShare() (n int) {
	k.do(filepath.WalkDir(k.stored(), func(_ string, _ fs.DirEntry, err error) error { n++; return err }))
	return n - 1
}

// finish copies undisturbed.
func (k *killer) finish(phase string) time.Duration {
	k.t.Helper()
	took, err := k.call(2*time.Minute, "cidx_files", map[string]any{"phase": phase})
	if err == nil { // alias files are no part of the copy
		_, err = k.call(time.Minute, "cidx_aliases", map[string]any{})
	}
	if err != nil {
		k.t.Fatalf("%s: %v", phase, err)
	}
	return took
}

// judge asks cidx-judge; any difference fails the test.
func (k *killer) judge(verb string, flags ...string) {
	k.t.Helper()
	k.do(k.judged(time.Minute, nil, verb, flags...))
}
