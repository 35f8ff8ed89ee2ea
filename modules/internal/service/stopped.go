package service

import (
	"context"
	"fmt"
	"os"
	"time"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/program"
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
	Common home.Common
	Runner program.Runner
	Drops  DropIns
	Scope  Scope
	Own    home.State // root's own folder for hold and record, where root works for another user
}

// Place is the folder in which hold and record lie: root's own, else the state
// folder.
func (c Control) Place() home.State {
	if c.Own != "" {
		return c.Own
	}
	return c.Common.State()
}

// New returns the control of a module's server, with the real Runner.
func New(a Args, c home.Common) Control { return Control{Args: a, Common: c, Runner: program.Exec{}} }

// For is the control of root who works for the server's user uid: hold and record
// lie in root's own folder. With 0 it is c itself.
func (c Control) For(ctx context.Context, uid int) (Control, error) {
	if uid == 0 {
		return c, nil
	}
	now, err := c.ReadHome(ctx)
	if err != nil {
		return c, err
	}
	c.Own = home.RootFolder(uid, now.Real)
	return c, nil
}

// Systemd returns the client of systemd.
func (c Control) Systemd() Systemd { return Systemd{Runner: c.Runner, User: c.Scope.User} }

// Status asks the manager. The error is a Problem.
func (c Control) Status(ctx context.Context) (State, error) {
	if c.Manager == ByCommand {
		return c.statusByCommand(ctx)
	}
	units, err := c.Systemd().Show(ctx, c.Server())
	if err != nil {
		return State{}, problem.Problem{
			What: err.Error(), At: c.Server(),
			Fix: "run on a node with systemd, as root (ansible_become), or set cidx_service_manager to command",
		}
	}
	if len(units) != 1 || units[0].Load == "not-found" {
		return State{}, problem.Problem{
			What: "no such unit", At: c.Server(),
			Fix: "set cidx_service_unit to the unit that runs the CIDX server (systemctl list-units '*cidx*'); " +
				"a unit of its user's own systemd needs no root: leave ansible_become away and log in as that user",
		}
	}
	u := units[0]
	return State{Running: u.Active == "active", Stopped: u.Stopped(), Word: u.Active, PID: u.PID}, nil
}

func (c Control) statusByCommand(ctx context.Context) (State, error) {
	const running, stopped = 0, 3
	out, err := c.shell(ctx, c.StatusCommand, 30*time.Second, nil)
	if err != nil {
		return State{}, problem.Problem{
			What: err.Error(), At: "service_status_command",
			Fix: "make the command end in time, with exit status 0 (running) or 3 (stopped)",
		}
	}
	s := State{Running: out.Code == running, Stopped: out.Code == stopped, Word: fmt.Sprintf("exit status %d", out.Code)}
	if !s.Running && !s.Stopped {
		return s, problem.Problem{
			What: fmt.Sprintf("exit status %d, neither 0 (running) nor 3 (stopped): %s", out.Code, out.Brief()),
			At:   "service_status_command",
			Fix:  "correct cidx_service_status_command",
		}
	}
	return s, nil
}

// shell runs one of the operator's commands.
func (c Control) shell(ctx context.Context, command string, limit time.Duration, log *os.File) (program.Output, error) {
	return c.Runner.Run(ctx, program.Command{
		Argv: []string{"/bin/sh", "-c", command}, Timeout: limit, Log: log,
		Env: []string{"CIDX_HOLD=" + c.Place().Hold()},
	})
}

// Prove gathers every sign that the server, or another writer of its databases
// or repositories, still lives. detail says in one line what was looked at, and
// unseen, on a line of its own, what could not be; "" if nothing.
func (c Control) Prove(ctx context.Context) (detail, unseen string, problems problem.List) {
	state, err := c.Status(ctx)
	problems.Add(err)
	if err == nil && !state.Stopped {
		problems = append(problems, problem.Problem{
			What: "the server is " + state.Word, At: c.at(),
			Fix: "stop it, or run cluster-migrate.yml, which does",
		})
	}
	if signs, err := readSigns.Run(ctx, c.signs()); err != nil {
		problems.Add(err)
	} else {
		hidden, more := signs.life()
		problems = append(problems, more...)
		if hidden > 0 {
			unseen = fmt.Sprintf("%d processes of other users could not be looked into (only root can)", hidden)
		}
	}
	return state.Word + ", no process, no listener, no open database", unseen, problems
}

// at is where messages place the service.
func (c Control) at() string {
	if c.Manager == ByCommand {
		return "service_status_command"
	}
	return c.Server()
}

// Stop runs the operator's stop command.
func (c Control) Stop(ctx context.Context) (program.Output, error) {
	return c.shell(ctx, c.StopCommand, c.Limit(), nil)
}

// Start runs the operator's start command. What it leaves behind (the server)
// keeps its output, so that goes to a file of the state folder.
func (c Control) Start(ctx context.Context) (program.Output, error) {
	log, err := openLog.Run(ctx, c.Common.State().Path("service.log"))
	if err != nil {
		return program.Output{}, err
	}
	defer log.Close()
	return c.shell(ctx, c.StartCommand, c.Limit(), log)
}
