// Package newest has the newest ansible-core that this machine's Python can run.
package newest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Ansible returns the folder with its programs, in a virtual environment below
// cache that is made once.
func Ansible(ctx context.Context, cache string) (bin string, err error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("make cache: %w", err)
	}
	lock, err := os.Create(filepath.Join(cache, "ansible.lock"))
	if err != nil {
		return "", fmt.Errorf("lock: %w", err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	place := filepath.Join(cache, "ansible-newest")
	bin = filepath.Join(place, "bin")
	if _, err := os.Stat(filepath.Join(place, "complete")); err == nil {
		return bin, nil
	}
	if err := os.RemoveAll(place); err != nil {
		return "", fmt.Errorf("make virtual environment: %w", err)
	}
	for _, words := range [][]string{
		{"python3", "-m", "venv", place},
		{filepath.Join(bin, "pip"), "install", "--quiet", "--disable-pip-version-check", "ansible-core"},
		{"touch", filepath.Join(place, "complete")},
	} {
		if out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%v: %w: %s", words, err, out)
		}
	}
	return bin, nil
}
