package service

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"cidx-cluster/modules/internal/program"
)

// Scope says whose systemd runs the server: the machine's, which only root may
// tell to stop and hold a unit, or the one of the server's user.
type Scope struct {
	User    bool // the user's own: systemctl --user
	Allowed bool // we may stop and hold its units
}

// In finds out whose unit the server is and adapts c. byRoot says that root has
// started the run, whoever this process is: then it is the machine's. An ordinary
// user has the unit of its own systemd, where there is one of that name.
func (c Control) In(ctx context.Context, byRoot bool) Control {
	switch {
	case c.Manager != BySystemd:
	case byRoot || os.Geteuid() == 0 || c.Drops.Root != "":
		c.Scope.Allowed = true
	default:
		own := c
		own.Scope = Scope{User: true, Allowed: true}
		own.Drops.Root = userUnits()
		units, err := own.Systemd().Show(ctx, c.Server())
		if err == nil && len(units) == 1 && units[0].Load == "loaded" {
			return own
		}
	}
	return c
}

// userUnits is where a user's own drop-ins lie (systemd.unit(5)).
func userUnits() string {
	base := os.Getenv("XDG_CONFIG_HOME")
	if base == "" {
		home, _ := os.UserHomeDir() // without a home there is no user's systemd
		base = filepath.Join(home, ".config")
	}
	return filepath.Join(base, "systemd", "user")
}

// userEnvironment is what systemctl --user needs to find the user's systemd: a
// session by ssh with sudo has none.
func userEnvironment() []string {
	if os.Getenv("XDG_RUNTIME_DIR") != "" {
		return nil
	}
	return []string{fmt.Sprintf("XDG_RUNTIME_DIR=/run/user/%d", os.Geteuid())}
}

// scoped adds what makes systemctl talk to the right systemd.
func (s Systemd) scoped(c program.Command) program.Command {
	if s.User {
		c.Argv = append(c.Argv, "--user")
		c.Env = append(c.Env, userEnvironment()...)
	}
	return c
}

// Systemctl is how a person calls the systemctl of this scope; the machine's is
// called through before, for example "sudo ".
func (s Scope) Systemctl(before string) string {
	if s.User {
		return "systemctl --user"
	}
	return before + "systemctl"
}

// Journalctl is how a person reads what a unit of this scope has written.
func (s Scope) Journalctl() string {
	if s.User {
		return "journalctl --user"
	}
	return "journalctl"
}

// Remedy is for who may not stop and hold units.
func (s Scope) Remedy() string {
	return "set ansible_become to true; or, where the server is a unit of its user's own systemd, log in as that user, " +
		"who must be logged in for good (loginctl enable-linger)"
}
