package ansible

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"cidx-cluster/modules/internal/job"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/reach"
)

// Become is the error with which a module that runs as root asks to be run from
// its beginning as another user: where root's rights end (root_squash), but that
// user's do not. It is run in a child that gives root up for good; there
// Mode.As names the user. Nothing may have been changed before.
type Become struct{ User reach.Identity }

// Error is shown only if nobody honours the wish.
func (b Become) Error() string { return "has to be run as " + b.User.String() }

// order is what the child is told on its standard input, which the parent holds
// open as long as it lives.
type order struct {
	User  reach.Identity  `json:"user"`
	Input json.RawMessage `json:"input"`
}

// told is one line of the child: an event, or at the end its reply.
type told struct {
	Event *progress.Event `json:"event,omitempty"`
	Reply json.RawMessage `json:"reply,omitempty"`
}

// as serves a run in a child of runAs.
func (p program) as(name string) int {
	m, ok := p.byName(name)
	if !ok {
		return p.refuse(p.unknownModule(name))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var o order
	if err := json.NewDecoder(p.in).Decode(&o); err != nil {
		return p.refuse("cidx-helper: read order: " + err.Error())
	}
	if err := o.User.Become(); err != nil {
		if json.NewEncoder(p.out).Encode(told{Reply: refusal(err)}) != nil {
			return 1
		}
		return 0
	}
	go func() { // without its parent nobody hears the reply, and a resumed run waits
		_, _ = io.Copy(io.Discard, p.in)
		os.Exit(1)
	}()
	var mu sync.Mutex
	out := json.NewEncoder(p.out)
	tell := func(t told) error {
		mu.Lock()
		defer mu.Unlock()
		return out.Encode(t)
	}
	raw := m.serve(ctx, o.Input, func(e progress.Event) { _ = tell(told{Event: &e}) }, o.User.String())
	if tell(told{Reply: raw}) != nil {
		return 1
	}
	return 0
}

// runAs runs the module in a child as the user, passes its events on and
// returns what it replies.
func (m Module) runAs(ctx context.Context, user reach.Identity, input []byte, sink progress.Sink) (map[string]any, error) {
	if err := lendSelf(); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(order{User: user, Input: input})
	if err != nil {
		return nil, fmt.Errorf("encode order: %w", err)
	}
	questions, ours, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer ours.Close()
	child := exec.Command("/proc/self/exe", "as", m.Doc.Name)
	child.Args[0], child.Dir = os.Args[0], "/"
	child.Env = append(os.Environ(), "HOME="+user.Home, "USER="+user.String(), "LOGNAME="+user.String())
	child.Stdin = questions
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	answers, err := child.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	var words bytes.Buffer
	child.Stderr = &words
	err = child.Start()
	questions.Close()
	if err != nil {
		return nil, fmt.Errorf("start module as %s: %w", user, err)
	}
	go func() { _, _ = ours.Write(raw) }() // a child that is gone is noticed at its answers
	stop := context.AfterFunc(ctx, func() { _ = child.Process.Signal(syscall.SIGTERM) })
	defer stop()
	reply, err := m.hear(ctx, answers, sink)
	if err != nil {
		_ = child.Process.Kill() // it may have ended by itself
		_ = child.Wait()         // and words are complete
		return nil, fmt.Errorf("%s as %s: %w\n%s", m.Doc.Name, user, err, job.CrashText(words.String()))
	}
	return reply, nil // not waited for: a call on a share that hangs may never come back
}

// lendSelf lets every user execute this program's file: the child, no longer
// root, starts probes of it as /proc/self/exe. The folder stays closed to them.
func lendSelf() error {
	const self = "/proc/self/exe"
	info, err := os.Stat(self)
	if err != nil {
		return fmt.Errorf("look at helper: %w", err)
	}
	if info.Mode()&0o001 != 0 {
		return nil
	}
	if err := os.Chmod(self, info.Mode().Perm()|0o011); err != nil {
		return fmt.Errorf("make helper executable: %w", err)
	}
	return nil
}

// hear reads the child's lines until its reply.
func (m Module) hear(ctx context.Context, answers io.ReadCloser, sink progress.Sink) (map[string]any, error) {
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(m.grace, func() { _ = answers.Close() }) // it heeds no signal
	})
	defer stop()
	lines := bufio.NewReader(answers)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil, errors.New("ended without a reply")
		}
		var t told
		if err := json.Unmarshal(line, &t); err != nil {
			return nil, fmt.Errorf("read answer: %w", err)
		}
		if t.Event != nil && sink != nil {
			sink(*t.Event)
		}
		if t.Reply == nil {
			continue
		}
		var reply map[string]any
		decoder := json.NewDecoder(bytes.NewReader(t.Reply))
		decoder.UseNumber()
		if err := decoder.Decode(&reply); err != nil {
			return nil, fmt.Errorf("read reply: %w", err)
		}
		return reply, nil
	}
}
