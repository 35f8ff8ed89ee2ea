package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// lateWrite is somebody who writes to the standalone server's data while it is
// stopped: an address in users, the MFA key and an alias file (each with a line end
// more, which changes no meaning), and a commit in a base clone.
func (st *stage) lateWrite() error {
	row := exec.Command("sqlite3", "-cmd", ".timeout 20000", filepath.Join(st.box.Home, "data/cidx_server.db"),
		"UPDATE users SET email = 'late@example.org' WHERE username = (SELECT max(username) FROM users)")
	if out, err := row.CombinedOutput(); err != nil {
		return fmt.Errorf("late row: %w: %s", err, out)
	}
	commit := exec.Command("git", "-C", filepath.Join(st.box.Home, "data/golden-repos/billing"), "-c", "safe.directory=*",
		"-c", "user.name=late", "-c", "user.email=late@example.org", "commit", "--allow-empty", "-q", "-m", "late")
	if out, err := commit.CombinedOutput(); err != nil {
		return fmt.Errorf("late commit: %w: %s", err, out)
	}
	return errors.Join(
		appendTo(filepath.Join(st.box.Home, "data/mfa_key.dat")),
		appendTo(filepath.Join(st.box.Home, "data/golden-repos/aliases/billing-global.json")))
}

func appendTo(path string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("late write: %w", err)
	}
	_, err = f.WriteString("\n")
	return errors.Join(err, f.Close())
}
