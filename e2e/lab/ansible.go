package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

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
