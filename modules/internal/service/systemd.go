package service

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/program"
)

// Unit is what systemd says of a unit.
type Unit struct {
	ID          string   `json:"id"`
	Load        string   `json:"load"`      // LoadState: loaded, not-found, masked, …
	Active      string   `json:"active"`    // ActiveState: active, inactive, failed, activating, …
	Sub         string   `json:"sub"`       // SubState: running, dead, …
	Enabled     string   `json:"enabled"`   // UnitFileState: enabled, disabled, static, …
	Type        string   `json:"type"`      // of a service: simple, oneshot, …
	User        string   `json:"user"`      // of a service
	Exec        []string `json:"exec"`      // ExecStart
	Env         string   `json:"-"`         // Environment; may hold secrets
	PID         int      `json:"pid"`       // MainPID; 0 if it does not run
	TriggeredBy []string `json:"-"`         // timers, paths, sockets
	Triggers    []string `json:"-"`         // of a timer, path, socket: what it starts
	Condition   bool     `json:"condition"` // ConditionResult of the last start
	Stale       bool     `json:"-"`         // NeedDaemonReload: the unit's files have changed since systemd read them
	Rooted      bool     `json:"-"`         // RootDirectory or RootImage: paths are not the machine's
}

// Stopped reports whether ActiveState means stopped. "unknown", "deactivating"
// and "activating" do not.
func (u Unit) Stopped() bool { return u.Active == "inactive" || u.Active == "failed" }

// Trigger reports whether the unit starts others (a timer, path or socket).
func (u Unit) Trigger() bool {
	return strings.HasSuffix(u.ID, ".timer") || strings.HasSuffix(u.ID, ".path") || strings.HasSuffix(u.ID, ".socket")
}

// Systemd talks to systemd through systemctl.
type Systemd struct {
	Runner program.Runner
	User   bool          // the caller's own systemd, not the machine's
	Wait   time.Duration // deadline of a call that should be quick; 0: 20 s
}

var properties = []string{
	"Id", "LoadState", "ActiveState", "SubState", "UnitFileState", "Type", "User", "ExecStart",
	"Environment", "MainPID", "TriggeredBy", "Triggers", "ConditionResult",
	"NeedDaemonReload", "RootDirectory", "RootImage",
}

// systemctl runs systemctl; a status other than 0 is an error that quotes it.
func (s Systemd) systemctl(ctx context.Context, timeout time.Duration, args ...string) (string, error) {
	return s.call(ctx, program.Command{Timeout: timeout}, args)
}

// few units are told at once; more take their time on a busy node.
const few = 10

// listing is systemctl for a call about many units: on a busy node that takes
// its time, and systemctl itself would give up after 25 s.
func (s Systemd) listing(ctx context.Context, args ...string) (string, error) {
	timeout := 3 * s.quick()
	limit := fmt.Sprintf("SYSTEMD_BUS_TIMEOUT=%ds", int(timeout.Seconds()))
	return s.call(ctx, program.Command{Timeout: timeout, Env: []string{limit}}, args)
}

func (s Systemd) call(ctx context.Context, c program.Command, args []string) (string, error) {
	c.Argv = []string{"systemctl", "--no-pager"}
	c = s.scoped(c)
	c.Argv = append(c.Argv, args...)
	out, err := s.Runner.Run(ctx, c)
	if err != nil {
		return "", err
	}
	if out.Code != 0 {
		return "", fmt.Errorf("systemctl %s: exit status %d: %s", args[0], out.Code, out.Brief())
	}
	return out.Text, nil
}

func (s Systemd) quick() time.Duration {
	if s.Wait == 0 {
		return 20 * time.Second
	}
	return s.Wait
}

// Version is systemd's release, for example 252; 0 if it does not tell.
func (s Systemd) Version(ctx context.Context) (int, error) {
	text, err := s.systemctl(ctx, s.quick(), "--version")
	if err != nil {
		return 0, err
	}
	words := strings.Fields(text) // "systemd 252 (252.39-1~deb12u1)"
	if len(words) < 2 {
		return 0, nil
	}
	version, _ := strconv.Atoi(words[1]) // a development build has "~rc1" behind it: 0
	return version, nil
}

// Show asks for the properties of units, in the order given. A unit that does
// not exist comes back with Load "not-found".
func (s Systemd) Show(ctx context.Context, ids ...string) ([]Unit, error) {
	var units []Unit
	for batch := range slices.Chunk(ids, 100) {
		args := []string{"show", "--property=" + strings.Join(properties, ","), "--"}
		args = append(args, batch...)
		ask := s.listing
		if len(batch) <= few {
			ask = func(ctx context.Context, args ...string) (string, error) { return s.systemctl(ctx, s.quick(), args...) }
		}
		text, err := ask(ctx, args...)
		if err != nil {
			return nil, err
		}
		units = append(units, parseUnits(text)...)
	}
	return units, nil
}

// parseUnits reads systemctl show: blocks of Key=Value lines, an empty line
// between units.
func parseUnits(text string) []Unit {
	var units []Unit
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		var u Unit
		for line := range strings.SplitSeq(block, "\n") {
			key, value, _ := strings.Cut(line, "=")
			u.set(key, value)
		}
		if u.ID != "" {
			units = append(units, u)
		}
	}
	return units
}

func (u *Unit) set(key, value string) {
	switch key {
	case "Id":
		u.ID = value
	case "LoadState":
		u.Load = value
	case "ActiveState":
		u.Active = value
	case "SubState":
		u.Sub = value
	case "UnitFileState":
		u.Enabled = value
	case "Type":
		u.Type = value
	case "User":
		u.User = value
	case "ExecStart":
		u.Exec = append(u.Exec, argvOf(value))
	case "Environment":
		u.Env = value
	case "MainPID":
		u.PID, _ = strconv.Atoi(value)
	case "TriggeredBy":
		u.TriggeredBy = strings.Fields(value)
	case "Triggers":
		u.Triggers = strings.Fields(value)
	case "ConditionResult":
		u.Condition = value == "yes"
	case "NeedDaemonReload":
		u.Stale = value == "yes"
	case "RootDirectory", "RootImage":
		u.Rooted = u.Rooted || value != ""
	}
}

// argvOf takes the command line out of
// "{ path=/usr/bin/x ; argv[]=/usr/bin/x a b ; ignore_errors=no ; … }".
func argvOf(value string) string {
	_, rest, ok := strings.Cut(value, "argv[]=")
	if !ok {
		return value
	}
	argv, _, _ := strings.Cut(rest, " ; ")
	return argv
}

// Reload makes systemd read its unit files again.
func (s Systemd) Reload(ctx context.Context) error {
	if _, err := s.systemctl(ctx, 60*time.Second, "daemon-reload"); err != nil {
		return problem.Problem{
			What: err.Error(), At: Scope{User: s.User}.Systemctl("") + " daemon-reload",
			Fix: "a dead NFS mount blocks it: see that every mount of this node answers (timeout 5 stat <mount point>), then run again",
		}
	}
	return nil
}

// Start starts units and waits for their jobs.
func (s Systemd) Start(ctx context.Context, limit time.Duration, ids ...string) error {
	_, err := s.systemctl(ctx, limit, append([]string{"start", "--"}, ids...)...)
	return err
}

// Stop stops units and waits for their jobs.
func (s Systemd) Stop(ctx context.Context, limit time.Duration, ids ...string) error {
	_, err := s.systemctl(ctx, limit, append([]string{"stop", "--"}, ids...)...)
	return err
}

// ResetFailed clears failures, so that a start limit that was hit does not
// refuse the next start. It is no error where there is nothing to clear.
func (s Systemd) ResetFailed(ctx context.Context, id string) error {
	c := s.scoped(program.Command{Argv: []string{"systemctl", "--no-pager"}, Timeout: s.quick()})
	c.Argv = append(c.Argv, "reset-failed", "--", id)
	_, err := s.Runner.Run(ctx, c)
	return err
}
