// Package child asks a question of a child process, with a deadline: a process
// that touches a dead mount hangs for good, and only its parent can say so.
//
// The child is this very binary, started anew: main, and TestMain where a test
// asks, call Serve first.
package child

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

const (
	name     = "cidx-child"
	variable = "CIDX_CHILD" // names the question
)

var (
	answers = map[string]func() error{} // by question
	serving bool
)

// Question is answered in a child process. Q and each of its answers A are JSON.
type Question[Q, A any] struct{ name string }

// New names a question and how it is answered: with as many answers as there are
// to tell, as they come. It is for package variables.
func New[Q, A any](name string, do func(q Q, tell func(A)) error) Question[Q, A] {
	answers[name] = func() error {
		var q Q
		if err := json.NewDecoder(os.Stdin).Decode(&q); err != nil {
			return fmt.Errorf("read question: %w", err)
		}
		out := json.NewEncoder(os.Stdout)
		return do(q, func(a A) {
			if out.Encode(line[A]{Answer: &a}) != nil {
				os.Exit(2) // the parent has gone
			}
		})
	}
	return Question[Q, A]{name}
}

// line is what a child says: an answer, or that it has ended, and how.
type line[A any] struct {
	Answer *A     `json:"answer,omitempty"`
	End    bool   `json:"end,omitempty"`
	Fault  string `json:"fault,omitempty"`
}

// Serve answers and ends the process, where it was started for that.
func Serve() {
	serving = true
	if len(os.Args) == 0 || os.Args[0] != name {
		return
	}
	do, ok := answers[os.Getenv(variable)]
	if !ok {
		os.Exit(2)
	}
	end := line[struct{}]{End: true}
	if err := do(); err != nil {
		end.Fault = err.Error()
	}
	if json.NewEncoder(os.Stdout).Encode(end) != nil {
		os.Exit(2)
	}
	os.Exit(0)
}

// Ask starts a child and hears its answers until it ends. Where ctx ends first,
// the error is os.ErrDeadlineExceeded, and the child, which may be one that
// cannot die, is killed and left alone.
func (t Question[Q, A]) Ask(ctx context.Context, q Q, hear func(A)) error {
	if !serving {
		return errors.New("ask a child: this program does not serve questions (child.Serve)")
	}
	if ctx.Err() != nil {
		return os.ErrDeadlineExceeded
	}
	input, err := json.Marshal(q)
	if err != nil {
		return fmt.Errorf("encode question: %w", err)
	}
	child := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{name}, Dir: "/", Env: []string{variable + "=" + t.name},
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	ours, err := child.StdinPipe()
	if err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	defer ours.Close()
	replies, err := child.StdoutPipe()
	if err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	if err := child.Start(); err != nil {
		return fmt.Errorf("start child: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = errors.Join(replies.Close(), ours.Close()) }) // which ends reading and writing
	defer stop()
	go func() {
		_, _ = ours.Write(input) // a child that is gone is noticed at its answers
		ours.Close()
	}()
	if err = listen(replies, hear); err != nil {
		_ = child.Process.Kill() // it may have ended by itself
		if errors.Is(err, os.ErrClosed) {
			err = os.ErrDeadlineExceeded
		}
	}
	go child.Wait() //nolint:errcheck // reaps, and closes the pipes; the answers tell how it went
	return err
}

// listen reads lines until the child says that it has ended.
func listen[A any](replies io.Reader, hear func(A)) error {
	lines := bufio.NewScanner(replies)
	lines.Buffer(make([]byte, 64<<10), 4<<20)
	for lines.Scan() {
		var l line[A]
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		switch {
		case l.Fault != "":
			return errors.New(l.Fault)
		case l.End:
			return nil
		}
		if l.Answer != nil {
			hear(*l.Answer)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errors.New("the child ended in the middle of its answers")
}
