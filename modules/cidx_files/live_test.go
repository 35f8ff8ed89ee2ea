package files

import (
	"context"
	"os"
	"path/filepath"
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
