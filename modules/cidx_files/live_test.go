package files

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestARunningServerMayWriteWhileTheWarmPassRuns(t *testing.T) {
	s := newServer(t)
	for i := range 300 {
		s.write(repo+"src/"+string(rune('a'+i%26))+"/"+string(rune('a'+i/26))+".txt", strings.Repeat("x", i))
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan int)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			dir := s.path(repo + "src/" + string(rune('a'+n%26)))
			path := filepath.Join(dir, "a.txt")
			if info, err := os.Stat(path); err == nil {
				_ = os.WriteFile(path, []byte(strings.Repeat(string(rune('a'+n%26)), int(info.Size()))), 0o644)
				_ = os.Chtimes(path, info.ModTime(), info.ModTime())
			}
			_ = os.Rename(filepath.Join(dir, "b.txt"), filepath.Join(dir, "c.txt"))
			_ = os.WriteFile(filepath.Join(dir, "b.txt"), []byte("new"), 0o644)
			_ = os.Remove(s.path(repo + "src/live/" + strconv.Itoa(n-3)))
			for _, live := range []int{n - 1, n} { // the newest is new, the one before is rewritten
				_ = os.MkdirAll(s.path(repo+"src/live"), 0o755)
				_ = os.WriteFile(s.path(repo+"src/live/"+strconv.Itoa(live)), []byte(strings.Repeat("live", n)), 0o644)
			}
			_ = os.RemoveAll(s.path(repo + "src/tmp"))
			_ = os.MkdirAll(s.path(repo+"src/tmp/x/y"), 0o755)
			_ = os.WriteFile(s.path(repo+"src/tmp/x/y/z"), []byte("z"), 0o644)
		}
		ended <- n
	}()
	for range 3 {
		if _, err := s.run(s.args(phaseWarm), false); err != nil {
			t.Errorf("warm pass beside a writer: %v", err)
		}
	}
	stop()
	if n := <-ended; n < 100 {
		t.Logf("the writer came round only %d times", n)
	}
	s.must(phaseDelta)
	s.mustEqual()
	if r := s.must(phaseDelta); r.Changed {
		t.Error("a second delta pass says changed")
	}
}

// A file that is rewritten while rsync runs, and gone before the next pass, is
// not left over on the share.
func TestAFileThatLivedOnlyDuringTheWarmPassIsNotLeftOver(t *testing.T) {
	s := newServer(t)
	s.write(repo+"live/one", "as the scan saw it")
	s.write(repo+"live/two", "gone before its turn")
	rsync, err := exec.LookPath("rsync")
	s.do(err)
	bin := t.TempDir()
	script := "#!/bin/sh\nif [ ! -e " + bin + "/ran ] && [ $# -gt 1 ]; then : > " + bin + "/ran; echo rewritten while rsync ran > " +
		s.path(repo+"live/one") + "; rm " + s.path(repo+"live/two") + "; fi\nexec " + rsync + " \"$@\"\n"
	s.do(os.WriteFile(filepath.Join(bin, "rsync"), []byte(script), 0o755))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	s.must(phaseWarm)
	if _, err := os.Stat(filepath.Join(bin, "ran")); err != nil {
		t.Fatal("the writer never ran")
	}
	s.do(os.Remove(s.path(repo + "live/one")))
	s.must(phaseDelta)
	s.mustEqual()
}
