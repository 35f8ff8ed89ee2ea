// Package program runs a program to its end, or to a deadline.
package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"cidx-cluster/modules/internal/child"
)

// ErrDeadline is returned for a command that did not end in time.
var ErrDeadline = errors.New("no answer in time")

// Command is one program to run.
type Command struct {
	Argv    []string
	Env     []string      // added to our own environment
	Timeout time.Duration // must be set
	Log     *os.File      // file that takes the output instead of us; for programs that leave children behind
}

// Output is how a command ended.
type Output struct {
	Code int    // exit status
	Text string // standard output; with a status other than 0 also standard error
}

// Runner runs commands. The error tells that there was no exit status: not
// found, killed, or no end in time (ErrDeadline).
type Runner interface {
	Run(ctx context.Context, c Command) (Output, error)
}

// Exec is the Runner that really runs programs.
type Exec struct{}

// maxOutput bounds what is kept of a program's output, its end.
const maxOutput = 4 << 20

// Run runs c in a process group of its own. A group that is late is killed and,
// if it does not even die (a dead NFS server), left alone.
func (Exec) Run(ctx context.Context, c Command) (Output, error) {
	name := c.Argv[0]
	out, errs := &child.Tail{Most: maxOutput}, &child.Tail{Most: maxOutput}
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Env = append(os.Environ(), append([]string{"LC_ALL=C", "SYSTEMD_COLORS=0", "SYSTEMD_PAGER="}, c.Env...)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, errs, time.Second
	if c.Log != nil {
		cmd.Stdout, cmd.Stderr = c.Log, c.Log
	}
	if err := cmd.Start(); err != nil {
		return Output{}, fmt.Errorf("run %s: %w", name, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("%w (%s)", ErrDeadline, c.Timeout))
	defer cancel()
	select {
	case err := <-ended:
		return output(name, err, out, errs, c.Log)
	case <-ctx.Done():
		kill(cmd, ended)
		return Output{}, fmt.Errorf("run %s: %w", name, context.Cause(ctx))
	}
}

// kill ends the group and waits a moment for it.
func kill(cmd *exec.Cmd, ended <-chan error) {
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may be gone already
	select {
	case <-ended:
	case <-time.After(2 * time.Second):
	}
}

func output(name string, err error, out, errs fmt.Stringer, log *os.File) (Output, error) {
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return Output{Text: out.String()}, nil
	case !errors.As(err, &exit):
		return Output{}, fmt.Errorf("run %s: %w", name, err)
	case exit.ExitCode() < 0:
		return Output{}, fmt.Errorf("run %s: %s", name, exit.ProcessState)
	}
	text := out.String() + errs.String()
	if log != nil {
		text = tail(log)
	}
	return Output{Code: exit.ExitCode(), Text: text}, nil
}

// tail returns the end of a log.
func tail(f *os.File) string {
	const most = 2 << 10
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	text, _ := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-most), most))
	return string(text)
}

// Brief is the text of o on one line, for messages.
func (o Output) Brief() string {
	text := strings.Join(strings.Fields(o.Text), " ")
	if text == "" {
		return "(it printed nothing)"
	}
	if len(text) > 400 {
		text = "…" + strings.ToValidUTF8(text[len(text)-400:], "")
	}
	return text
}
