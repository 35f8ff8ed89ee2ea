package backup

import (
	"os"
	"os/exec"
	"testing"
)

// holdOpen lets another process have a file open until stop is called.
func holdOpen(t *testing.T, path string) (stop func()) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	child := exec.Command("sleep", "60")
	child.Stdin = f
	must(t, child.Start())
	return func() {
		_ = child.Process.Kill() // it may be gone
		_ = child.Wait()         // killed by us
	}
}
