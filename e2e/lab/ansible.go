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

// posixCollection returns a folder to append to ANSIBLE_COLLECTIONS_PATH, with
// the collection ansible.posix: the output plugin json has moved there. It is
// taken out of Debian's package ansible, which is not installed.
func posixCollection(ctx context.Context, cache string) (string, error) {
	unlock, err := waitLock(filepath.Join(cache, "ansible.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	place := filepath.Join(cache, "ansible-posix")
	const inside = "usr/lib/python3/dist-packages/ansible_collections/ansible/posix"
	found := filepath.Join(place, strings.TrimSuffix(inside, "/ansible_collections/ansible/posix"))
	if _, err := os.Stat(filepath.Join(place, "complete")); err == nil {
		return found, nil
	}
	if err := os.MkdirAll(place, 0o755); err != nil {
		return "", fmt.Errorf("make folder for collections: %w", err)
	}
	fetch := "apt-get -qq download ansible && dpkg-deb --fsys-tarfile ansible_*.deb | tar -x ./" + inside + " && rm ansible_*.deb && touch complete"
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", fetch)
	cmd.Dir = place
	_, err = said(cmd)
	return found, err
}
