package service

import (
	"context"
	"regexp"
	"strings"
	"time"

	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/program"
)

// A command that cannot be run is found out before the stop: the start command is
// used first when the server is down.

var (
	assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=[^$'"` + "`" + `\\(]*$`)
	plainWord  = regexp.MustCompile(`^[A-Za-z0-9_./+:@%,-]+$`)
)

// runnable has nothing to look at: the unit belongs to root, and what it starts to
// the server's user, who looks at it (cidx_precheck).
func (m bySystemd) runnable(context.Context) problem.List { return nil }

// isProgram is what the shell says of its first argument, a program.
const isProgram = `case $1 in */*) [ -x "$1" ];; *) command -v "$1";; esac`

// runnable finds the commands that the shell does not understand, and those
// whose program does not exist. Nothing is run.
func (m byCommand) runnable(ctx context.Context) problem.List {
	var problems problem.List
	for _, c := range []struct{ name, text string }{
		{"service_stop_command", m.StopCommand}, {"service_start_command", m.StartCommand},
	} {
		fix := "correct cidx_" + c.name
		out, err := m.look(ctx, "-n", "-c", c.text)
		if err == nil && out.Code != 0 {
			problems = append(problems, problem.Problem{What: "the shell does not understand it: " + out.Brief(), At: c.name, Fix: fix})
			continue
		}
		program := programOf(c.text)
		if program == "" {
			continue
		}
		if out, err = m.look(ctx, "-c", isProgram, "sh", program); err == nil && out.Code != 0 {
			what := "no such program, or not executable: " + program
			problems = append(problems, problem.Problem{What: what, At: c.name, Fix: fix})
		}
	}
	return problems
}

func (m byCommand) look(ctx context.Context, args ...string) (program.Output, error) {
	return m.Runner.Run(ctx, program.Command{Argv: append([]string{"/bin/sh"}, args...), Timeout: 10 * time.Second})
}

// programOf is the program that a command starts first; "" where only the shell
// can tell.
func programOf(command string) string {
	for word := range strings.FieldsSeq(command) {
		switch {
		case word == "exec" || assignment.MatchString(word):
		case plainWord.MatchString(word):
			return word
		default:
			return ""
		}
	}
	return ""
}
