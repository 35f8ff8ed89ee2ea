package service

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cidx-cluster/modules/internal/cidx"
)

// State is whether the server runs, as its manager says.
type State struct {
	Running bool
	Stopped bool   // false for states in between, too
	Word    string // the manager's own: "active", "exit status 3"
	PID     int    // of the main process, where the manager knows it
}

// Control is one server under one manager.
type Control struct {
	Args
	Common cidx.Common
	Runner Runner
	Drops  DropIns
}

// New returns the control of a module's server, with the real Runner.
func New(a Args, c cidx.Common) Control { return Control{Args: a, Common: c, Runner: Exec{}} }

// Systemd returns the client of systemd.
func (c Control) Systemd() Systemd { return Systemd{Runner: c.Runner} }

// Status asks the manager. The error is a Problem.
func (c Control) Status(ctx context.Context) (State, error) {
	if c.Manager == ByCommand {
		return c.statusByCommand(ctx)
	}
	units, err := c.Systemd().Show(ctx, c.Server())
	if err != nil {
		return State{}, cidx.Problem{What: err.Error(), At: c.Server(), Fix: "run on a node with systemd, as root (ansible_become), or set cidx_service_manager to command"}
	}
	if len(units) != 1 || units[0].Load == "not-found" {
		return State{}, cidx.Problem{What: "no such unit", At: c.Server(), Fix: "set cidx_service_unit to the unit that runs the CIDX server (systemctl list-units '*cidx*')"}
	}
	u := units[0]
	return State{Running: u.Active == "active", Stopped: u.Stopped(), Word: u.Active, PID: u.PID}, nil
}

func (c Control) statusByCommand(ctx context.Context) (State, error) {
	const running, stopped = 0, 3
	out, err := c.shell(ctx, c.StatusCommand, 30*time.Second, "")
	if err != nil {
		return State{}, cidx.Problem{What: err.Error(), At: "service_status_command", Fix: "make the command end in time, with exit status 0 (running) or 3 (stopped)"}
	}
	s := State{Running: out.Code == running, Stopped: out.Code == stopped, Word: fmt.Sprintf("exit status %d", out.Code)}
	if !s.Running && !s.Stopped {
		return s, cidx.Problem{What: fmt.Sprintf("exit status %d, neither 0 (running) nor 3 (stopped): %s", out.Code, out.Brief()), At: "service_status_command", Fix: "correct cidx_service_status_command"}
	}
	return s, nil
}

// shell runs one of the operator's commands.
func (c Control) shell(ctx context.Context, command string, limit time.Duration, log string) (Output, error) {
	return c.Runner.Run(ctx, Command{
		Argv: []string{"/bin/sh", "-c", command}, Timeout: limit, Log: log,
		Env: []string{"CIDX_HOLD=" + c.Common.State().Hold()},
	})
}

// Prove gathers every sign that the server, or another writer of its databases
// or repositories, still lives. detail says in one line what was looked at.
func (c Control) Prove(ctx context.Context) (detail string, problems cidx.Problems) {
	state, err := c.Status(ctx)
	problems.Add(err)
	if err == nil && !state.Stopped {
		problems = append(problems, cidx.Problem{What: "the server is " + state.Word, At: c.at(), Fix: "stop it, or run cluster-migrate.yml, which does"})
	}
	if p, alive, err := PIDFile(c.Common.Home); err != nil || alive {
		problems.Add(err)
		if alive {
			problems = append(problems, cidx.Problem{What: "server process lives: " + p.String(), At: p.Path, Fix: "stop that server the way it was started (cidx server stop)"})
		}
	}
	problems = append(problems, c.listening(ctx)...)
	unseen, more := c.handles()
	problems = append(problems, more...)
	detail = state.Word + ", no process, no listener, no open database"
	if unseen > 0 {
		detail += fmt.Sprintf("; %d processes of other users could not be looked into", unseen)
	}
	return detail, problems
}

// at is where messages place the service.
func (c Control) at() string {
	if c.Manager == ByCommand {
		return "service_status_command"
	}
	return c.Server()
}

// listening looks whether a CIDX server answers at its address. A proxy that
// answers in its stead says 502, 503 or 504 on a page that a living server always has.
func (c Control) listening(ctx context.Context) cidx.Problems {
	base, err := c.Address(ctx)
	if err != nil {
		return cidx.ProblemsOf(err)
	}
	u, err := url.Parse(base)
	if err != nil || !local(u.Hostname()) {
		return nil // another machine's address tells nothing about this server
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/docs", nil)
	if err != nil {
		return cidx.ProblemsOf(fmt.Errorf("probe %s: %w", base, err))
	}
	answer, err := client.Do(request)
	if err != nil && !strings.Contains(err.Error(), "Client.Timeout") {
		return nil
	}
	if err == nil {
		answer.Body.Close()
		if answer.StatusCode >= 502 && answer.StatusCode <= 504 {
			return nil
		}
	}
	who := ""
	if p, ok := Listener(firstNumber(u.Port())); ok && p.PID != 0 {
		who = ": " + p.String()
	}
	return cidx.Problems{{What: "something still answers" + who, At: base, Fix: "stop it; if it is no CIDX server, set cidx_url to the server's address"}}
}

// handles looks for processes that have the databases open, or write below the
// repositories.
func (c Control) handles() (unseen int, problems cidx.Problems) {
	files, folders := c.watched()
	holders, unseen, err := Holders(files, folders)
	problems.Add(err)
	for _, p := range holders {
		problems = append(problems, cidx.Problem{What: "open in " + p.String(), At: p.Path, Fix: fmt.Sprintf("see what it is (ps -fp %d), let it finish or end it, and run again", p.PID)})
	}
	return unseen, problems
}

// Stop runs the operator's stop command.
func (c Control) Stop(ctx context.Context) (Output, error) {
	return c.shell(ctx, c.StopCommand, c.Limit(), "")
}

// Start runs the operator's start command. What it leaves behind (the server)
// keeps its output, so that goes to a file of the state folder.
func (c Control) Start(ctx context.Context) (Output, error) {
	return c.shell(ctx, c.StartCommand, c.Limit(), c.Common.State().Path("service.log"))
}
