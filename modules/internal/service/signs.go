package service

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"cidx-cluster/modules/internal/errand"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/process"
	"cidx-cluster/modules/internal/program"
)

// Signs is what a home tells of its server, as the server's user finds it. A
// root that does not trust that user only compares with it.
type Signs struct {
	Process process.Process `json:"process"` // the living one of server.pid; PID 0: none
	Answers string          `json:"answers"` // the server's address, where something answers; else ""
	Port    int             `json:"port"`    // of that address; 0 where it is another machine's
	Files   []process.File  `json:"files"`   // the databases and the files beside them
	Folders []string        `json:"folders"` // of the repositories, and where they lead
}

// signsOf is a control as it travels to the server's user.
type signsOf struct {
	Args   Args
	Common home.Common
	Scope  Scope
}

func (c Control) signs() signsOf { return signsOf{c.Args, c.Common, c.Scope} }

// readSigns is done by the server's user.
var readSigns = errand.New("signs", func(ctx context.Context, of signsOf) (Signs, error) {
	s := Signs{}
	p, alive, err := process.PIDFile(of.Common.Home)
	if err != nil {
		return s, err
	}
	if alive {
		s.Process = p
	}
	c := Control{Args: of.Args, Common: of.Common, Runner: program.Exec{}, Scope: of.Scope}
	if s.Answers, s.Port, err = answers(ctx, c); err != nil {
		return s, err
	}
	files, folders := watched(of.Common.Home)
	s.Files = process.Files(files)
	for _, folder := range folders {
		s.Folders = append(s.Folders, process.RealPath(folder))
		if to, err := os.Readlink(folder); err == nil {
			s.Folders = append(s.Folders, to)
		}
	}
	return s, nil
})

// answers looks whether a CIDX server answers at its address. A proxy that
// answers in its stead says 502, 503 or 504 on a page that a living server
// always has.
func answers(ctx context.Context, c Control) (base string, port int, err error) {
	base, err = c.Address(ctx)
	if err != nil {
		return "", 0, err
	}
	u, err := url.Parse(base)
	if err != nil || !process.Local(u.Hostname()) {
		return "", 0, nil // another machine's address tells nothing about this server
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/docs", nil)
	if err != nil {
		return "", 0, fmt.Errorf("probe %s: %w", base, err)
	}
	answer, err := client.Do(request)
	port, _ = strconv.Atoi(u.Port())
	if err != nil && !strings.Contains(err.Error(), "Client.Timeout") {
		return "", port, nil
	}
	if err == nil {
		answer.Body.Close()
		if answer.StatusCode >= 502 && answer.StatusCode <= 504 {
			return "", port, nil
		}
	}
	return base, port, nil
}

// life turns signs, and what is open in anybody's process, into problems.
// unseen counts the processes that we may not look into.
func (s Signs) life() (unseen int, problems problem.List) {
	if s.Process.PID != 0 {
		problems = append(problems, problem.Problem{
			What: "server process lives: " + s.Process.String(), At: s.Process.Path,
			Fix: "stop that server the way it was started (cidx server stop)",
		})
	}
	if s.Answers != "" {
		who := ""
		if p, ok := process.Listener(s.Port); ok && p.PID != 0 {
			who = ": " + p.String()
		}
		problems = append(problems, problem.Problem{
			What: "something still answers" + who, At: s.Answers,
			Fix: "stop it; if it is no CIDX server, set cidx_url to the server's address",
		})
	}
	holders, unseen, err := process.Holders(s.Files, s.Folders)
	problems.Add(err)
	for _, p := range holders {
		problems = append(problems, problem.Problem{
			What: "open in " + p.String(), At: p.Path,
			Fix: fmt.Sprintf("see what it is (ps -fp %d), let it finish or end it, and run again", p.PID),
		})
	}
	return unseen, problems
}

// StillStopped proves again, in a step after the stop, that nothing has started
// the server behind the migration's back: a supervisor, a cron job, a wrapper
// that does not heed the hold. It looks with the rights of the caller, who is
// the server's user, for a process, an answer and open databases. While nothing
// holds the server there is nothing to prove. The error is problem.List.
func StillStopped(ctx context.Context, c home.Common) error {
	standing, err := c.Standing()
	if err != nil || !standing.Held {
		return err
	}
	signs, err := readSigns.Run(ctx, signsOf{Args: Args{Manager: ByCommand}, Common: c})
	if err != nil {
		return err
	}
	return signs.runsNot()
}

// RunsNot is StillStopped where the caller knows that the server is held.
func (c Control) RunsNot(ctx context.Context) error {
	signs, err := readSigns.Run(ctx, c.signs())
	if err != nil {
		return err
	}
	return signs.runsNot()
}

// runsNot turns any sign of life into a problem of a server that is held.
func (s Signs) runsNot() error {
	_, found := s.life()
	for i := range found {
		found[i].What = "the server runs although the migration holds it: " + found[i].What
		found[i].Fix = "find what starts it (a supervisor, a cron job, a wrapper that does not heed CIDX_HOLD), " +
			"stop that and the server, and run the same command again"
	}
	return found.Err()
}
