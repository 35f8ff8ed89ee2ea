package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// newestAnsible returns the folder with the programs of the newest ansible-core
// that this machine's Python can run, in a virtual environment of its own that
// is made once, and what it calls itself.
func newestAnsible(ctx context.Context, cache string) (bin, version string, err error) {
	unlock, err := waitLock(filepath.Join(cache, "ansible.lock"))
	if err != nil {
		return "", "", err
	}
	defer unlock()
	place := filepath.Join(cache, "ansible-newest")
	bin = filepath.Join(place, "bin")
	if _, err := os.Stat(filepath.Join(place, "complete")); err != nil {
		if err := os.RemoveAll(place); err != nil {
			return "", "", fmt.Errorf("make virtual environment: %w", err)
		}
		for _, words := range [][]string{
			{"python3", "-m", "venv", place},
			{filepath.Join(bin, "pip"), "install", "--quiet", "--disable-pip-version-check", "ansible-core"},
			{"touch", filepath.Join(place, "complete")},
		} {
			if _, err := said(exec.CommandContext(ctx, words[0], words[1:]...)); err != nil {
				return "", "", err
			}
		}
	}
	out, err := said(exec.CommandContext(ctx, filepath.Join(bin, "ansible-playbook"), "--version"))
	first, _, _ := strings.Cut(out, "\n")
	return bin, first, err
}
