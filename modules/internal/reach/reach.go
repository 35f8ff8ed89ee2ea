// Package reach knows users, and resolves paths in a child process
// with a deadline: a dead mount gives a message, not a hang. It reads only.
//
// The child is this very binary, started anew; package initialisation serves
// it.
package reach

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"cidx-cluster/modules/internal/problem"
)

// Answer is what one path is to the user.
type Answer struct {
	Path    string `json:"path"`
	Real    string `json:"real"`    // without symbolic links; "" if it cannot be reached
	Folder  bool   `json:"folder"`  // it is a folder
	Missing bool   `json:"missing"` // it does not exist
	Fault   string `json:"fault"`   // why it cannot be reached, with the component
}

type request struct {
	Paths []string `json:"paths"`
}

const (
	childName  = "cidx-reach"
	childLabel = "CIDX_REACH_CHILD"
)

// Resolve answers for every path, in order, as user, who must be ourselves: a
// module that was started by root is that user already. The error is a
// problem.Problem when that is not so, and when the file system does not answer within the deadline.
func Resolve(ctx context.Context, user Identity, deadline time.Duration, paths []string) ([]Answer, error) {
	if user.UID != os.Geteuid() {
		return nil, problem.Problem{What: fmt.Sprintf("cannot look as user %s: not root", user), At: "cidx_service_user", Fix: "set ansible_become to true"}
	}
	r := request{Paths: paths}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	answers, err := converse(ctx, r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, fmt.Errorf("resolve paths: %w", ctx.Err())
		}
		at := paths[min(len(answers), len(paths)-1)]
		return nil, problem.Problem{What: fmt.Sprintf("no answer within %s", deadline), At: at, Fix: "check the file server and the network; the mount hangs"}
	}
	return answers, err
}

// converse runs the child and collects its answers until it ends.
func converse(ctx context.Context, r request) ([]Answer, error) {
	input, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode paths: %w", err)
	}
	replies, childEnd, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer replies.Close()
	questions, ours, err := os.Pipe()
	if err != nil {
		childEnd.Close()
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer ours.Close()
	child := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{childName}, Dir: "/", Env: []string{childLabel + "=1"},
		Stdin: questions, Stdout: childEnd, SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	err = child.Start()
	childEnd.Close()
	questions.Close()
	if err != nil {
		return nil, fmt.Errorf("start child: %w", err)
	}
	go child.Wait() //nolint:errcheck // reaps; the answers tell how it went
	stop := context.AfterFunc(ctx, func() {
		_ = replies.SetReadDeadline(time.Now()) // pipes can always
		_ = ours.SetWriteDeadline(time.Now())
	})
	defer stop()
	go func() {
		_, _ = ours.Write(input) // a child that is gone is noticed at its answers
		ours.Close()
	}()
	answers, err := read(replies, len(r.Paths))
	if err != nil {
		_ = child.Process.Kill() // it may have ended by itself
	}
	return answers, err
}

func read(replies *os.File, count int) ([]Answer, error) {
	var answers []Answer
	lines := bufio.NewScanner(replies)
	lines.Buffer(make([]byte, 64<<10), 1<<20)
	for lines.Scan() {
		var a Answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return answers, fmt.Errorf("read answer: %w", err)
		}
		if a.Path == "" {
			return answers, fmt.Errorf("resolve paths: %s", a.Fault)
		}
		answers = append(answers, a)
	}
	if err := lines.Err(); err != nil {
		return answers, err
	}
	if len(answers) != count {
		return answers, fmt.Errorf("resolve paths: the child ended after %d of %d", len(answers), count)
	}
	return answers, nil
}
