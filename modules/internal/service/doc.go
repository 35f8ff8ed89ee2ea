// Package service stops and starts the CIDX server and proves that it is
// stopped.
//
// Two managers: systemd, and three shell commands. Under systemd nothing is
// masked or disabled: a drop-in keeps a unit from starting while the hold file
// exists. That survives a power cut, holds against "systemctl restart" by an
// updater, and is undone by removing one file. The server alone may start in
// spite of it, once an operator has restored the standalone configuration by
// hand. Nothing is ever killed by name.
//
// Every command has a deadline: with a dead NFS mount "systemctl
// daemon-reload" never returns (CIDX's own guide warns of it).
package service

import (
	"fmt"
	"strings"
	"time"

	"cidx-cluster/modules/internal/problem"
)

// Managers.
const (
	BySystemd = "systemd"
	ByCommand = "command"
)

// Args are the arguments of every module that looks at the service; embed it.
type Args struct {
	Manager       string   `arg:"service_manager" default:"systemd" choices:"systemd,command"`
	Unit          string   `arg:"service_unit" default:"cidx-server"`
	StartCommand  string   `arg:"service_start_command"`
	StopCommand   string   `arg:"service_stop_command"`
	StatusCommand string   `arg:"service_status_command"`
	Quiesce       []string `arg:"service_quiesce_units"`
	Timeout       int      `arg:"service_timeout" default:"150"`
	URL           string   `arg:"url"`
}

// Limit is Timeout as a duration.
func (a Args) Limit() time.Duration { return time.Duration(a.Timeout) * time.Second }

// Server is the server's unit with its suffix.
func (a Args) Server() string {
	if strings.Contains(a.Unit, ".") {
		return a.Unit
	}
	return a.Unit + ".service"
}

// Validate finds arguments that do not fit together.
func (a Args) Validate() problem.List {
	var problems problem.List
	if a.Timeout <= 0 {
		problems = append(problems, problem.Problem{
			What: fmt.Sprintf("not a number of seconds: %d", a.Timeout), At: "service_timeout",
			Fix: "set cidx_service_timeout to 150 or more",
		})
	}
	if a.Manager != ByCommand {
		return problems
	}
	if len(a.Quiesce) > 0 {
		problems = append(problems, problem.Problem{
			What: "units cannot rest without systemd", At: "service_quiesce_units",
			Fix: "leave cidx_service_quiesce_units empty, or set cidx_service_manager to systemd",
		})
	}
	for _, c := range []struct{ name, value string }{
		{"service_start_command", a.StartCommand},
		{"service_stop_command", a.StopCommand},
		{"service_status_command", a.StatusCommand},
	} {
		if strings.TrimSpace(c.value) == "" {
			problems = append(problems, problem.Problem{
				What: "missing", At: c.name,
				Fix: "set cidx_" + c.name + ", which service_manager \"command\" needs",
			})
		}
	}
	return problems
}
