package e2e

import (
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

// TestKilledCopiesOfAChangingSource kills the copy at every batch: when a first,
// second, … part of the entries has arrived. Then the source goes on: files that
// were copied are deleted, folders renamed, branches packed and moved by git. The
// next runs have to make the share equal to the source as a whole tree, with
// nothing too much on it, and what git says of every repository the same. KILLS
// says at how many points (default 1, 5 with LAB=full); the copy after the stop is killed as well.
func TestKilledCopiesOfAChangingSource(t *testing.T) {
	points := 1
	if os.Getenv("LAB") == "full" {
		points = 5
	}
	k := newKiller(t, numberOf(t, "KILLS", points), "")
	k.branches()
	k.emptyShare()
	k.finish("warm")
	whole := k.onShare()
	for i := range k.wanted {
		k.batch(i, "warm", whole*(i+1)/(k.wanted+1), k.emptyShare)
		k.batch(i, "delta", whole*(i+1)/(k.wanted+1), k.emptyShare)
	}
	t.Logf("%d of %d killed copies were finished although the source had gone on: trees equal, nothing too much", k.equal, 2*k.wanted)
}

// batch kills one copy when so many entries are on the share.
func (k *killer) batch(i int, phase string, entries int, prepare func()) {
	k.t.Helper()
	for range 20 {
		prepare()
		if !k.killAt(phase, entries) {
			continue
		}
		copied := k.onShare()
		k.goOn(i)
		k.finish("warm")
		k.finish("delta")
		k.judge("equal", "-share", k.st.box.Share, "-only", "files")
		k.sameBranches()
		k.equal++
		k.t.Logf("%-5s killed with %5d entries on the share, of about %d wanted", phase, copied, entries)
		return
	}
	k.t.Fatalf("%s: 20 runs ended before they could be killed", phase)
}

// killAt kills the copy as soon as so many entries are on the share; false if the
// copy was faster.
func (k *killer) killAt(phase string, entries int) bool {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), time.Minute)
	defer cancel()
	cmd := k.command(ctx, "cidx_files", map[string]any{"phase": phase})
	k.do(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			k.do(err)
			return false
		default:
		}
		if k.arrived() >= entries {
			_ = cmd.Process.Kill() // it may be gone
			return <-ended != nil
		}
	}
}

// arrived counts what is below the copies while one is under way: names come and go.
func (k *killer) arrived() (n int) {
	_ = filepath.WalkDir(k.stored(), func(string, fs.DirEntry, error) error { n++; return nil })
	return n - 1
}

// branches gives every clone loose branches, as a server that fetches has.
func (k *killer) branches() {
	k.eachClone(func(clone string) {
		for i := range 3 {
			k.git(clone, "commit", "-q", "--allow-empty", "-m", fmt.Sprint("before ", i))
			k.git(clone, "branch", fmt.Sprint("topic-", i))
		}
		k.git(clone, "branch", fmt.Sprint("old-", k.changes))
	})
}

// goOn is what a server does after the kill: commits, packs its branches, deletes
// and renames.
func (k *killer) goOn(round int) {
	k.eachClone(func(clone string) {
		k.git(clone, "commit", "-q", "--allow-empty", "-m", fmt.Sprint("after ", round))
		k.git(clone, "branch", "-f", "topic-0", "HEAD")
		k.git(clone, "branch", "-m", fmt.Sprint("old-", k.changes), fmt.Sprint("old-", k.changes+1))
		k.git(clone, "-c", "gc.auto=0", "gc", "-q", "--prune=now")
	})
	k.changeSource()
	files, err := filepath.Glob(filepath.Join(k.golden(), "*", "src", "part*"))
	k.do(err)
	for i, folder := range files {
		switch i % 3 {
		case 0:
			k.do(os.RemoveAll(folder))
		case 1:
			k.do(os.Rename(folder, folder+fmt.Sprint("-moved-", round)))
		}
	}
}

// eachClone walks through the clones in which git works: some of the seed's keep
// it from working, on purpose.
func (k *killer) eachClone(do func(clone string)) {
	k.t.Helper()
	for _, alias := range []string{"billing", "web-portal", "lib.parsing"} {
		do(filepath.Join(k.golden(), alias))
	}
}

// git runs git in a clone, as somebody.
func (k *killer) git(clone string, args ...string) string {
	k.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", clone, "-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "safe.directory=*"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		k.t.Fatalf("git %s in %s: %v: %s", strings.Join(args, " "), clone, err, out)
	}
	return string(out)
}

// sameBranches compares what git says of every clone and of its copy.
func (k *killer) sameBranches() {
	k.t.Helper()
	k.eachClone(func(clone string) {
		copied := filepath.Join(k.st.box.Share, "golden-repos", filepath.Base(clone))
		was, is := k.git(clone, "for-each-ref"), k.git(copied, "for-each-ref")
		if was != is {
			k.t.Errorf("%s: branches are\n%swant\n%s", copied, is, was)
		}
	})
}
