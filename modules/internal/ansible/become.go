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

	"cidx-cluster/modules/internal/arguments"
	"cidx-cluster/modules/internal/child"
	"cidx-cluster/modules/internal/errand"
	"cidx-cluster/modules/internal/job"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/reach"
	"cidx-cluster/modules/internal/scratch"
	"cidx-cluster/modules/internal/secret"
)

// Bounds of what the parent takes from a child that is somebody else, in bytes.
const (
	longestLine = 64 << 20
	longestAll  = 1 << 30
)

// order is what the child is told on its standard input, which the parent holds
// open as long as it lives.
type order struct {
	Request job.Request     `json:"request"`
	Input   json.RawMessage `json:"input"`
}

// told is one line of the child: an event, or at the end its reply.
type told struct {
	Event *progress.Event `json:"event,omitempty"`
	Reply json.RawMessage `json:"reply,omitempty"`
}

// perform runs the module as the right user: as ourselves where we are not root
// or the server is root's own, else in a child that is the server's user from
// its first instruction. A module that stays root has its errands done by such a
// child. Before anything else the run takes its turn, see job.Turn.
func (m Module) perform(ctx context.Context, r job.Request, input []byte, sink progress.Sink) []byte {
	if sink == nil {
		sink = func(progress.Event) {}
	}
	user, err := m.servant(input)
	switch {
	case err != nil:
		return refusal(err)
	case user.UID == os.Geteuid():
		return m.inTurn(ctx, r, sink, func() []byte { return m.serve(ctx, input, sink, Mode{}) })
	case m.Root:
		return m.withErrands(ctx, user, r, input, sink)
	}
	raw, err := m.runAs(ctx, order{Request: r, Input: input}, user, sink)
	if err != nil {
		_, mode, _, _ := m.Decode(input)
		return m.encode(mode, Reply{Changed: !mode.Check}, err, nil, keeperOf(m, input), nil)
	}
	return raw
}

// servant is the user as whom the module works. All that root reads of the
// arguments are the home and the user's name.
func (m Module) servant(input []byte) (reach.Identity, error) {
	me := reach.Identity{UID: os.Geteuid()}
	var a struct {
		Home string `json:"home"`
		User string `json:"service_user"`
	}
	if err := json.Unmarshal(input, &a); err != nil {
		return me, fmt.Errorf("read arguments: %w", err)
	}
	if a.User == "" && me.UID != 0 {
		return me, nil
	}
	if a.User == "" {
		return reach.Owner(arguments.ExpandHome(a.Home))
	}
	user, err := reach.Lookup(a.User)
	if err != nil {
		return me, problem.Problem{
			What: err.Error(), At: "cidx_service_user",
			Fix: "set cidx_service_user to the user that runs the server",
		}
	}
	if me.UID != 0 && me.UID != user.UID {
		return me, problem.Problem{
			What: fmt.Sprintf("the server is %s's, and this is neither %s nor root", user, user),
			At:   "cidx_service_user",
			Fix:  "set ansible_become to true, or log in as " + user.String(),
		}
	}
	return user, nil
}

// inTurn runs when the home is free. The turn is an errand: the server's user takes it.
func (m Module) inTurn(ctx context.Context, r job.Request, sink progress.Sink, run func() []byte) []byte {
	try, leave := turnErrands()
	err := job.Await(ctx, func() (string, error) {
		a, err := try.Run(ctx, r)
		if err == nil && a.Held != nil {
			err = job.Held{Lease: *a.Held}
		}
		return a.Busy, err
	}, func(busy string) {
		sink(progress.Event{Time: time.Now().UTC(), Status: &progress.Status{What: "waiting for a job that an earlier run left: " + busy}})
	})
	if err != nil {
		return refusal(err)
	}
	reply := run()
	if _, err := leave.Run(context.WithoutCancel(ctx), struct{}{}); err != nil {
		return refusal(fmt.Errorf("%s: %w", m.Name, err))
	}
	return reply
}

// as serves a run in a child of runAs.
func (p program) as(m Module) int {
	syscall.Umask(0o077)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var o order
	if err := json.NewDecoder(p.in).Decode(&o); err != nil {
		return p.refuse("cidx-helper: read order: " + err.Error())
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
	sink := func(e progress.Event) { _ = tell(told{Event: &e}) }
	if err := settle(); err != nil {
		return p.answer(tell, refusal(err))
	}
	return p.answer(tell, m.inTurn(ctx, o.Request, sink, func() []byte {
		return m.serve(ctx, o.Input, sink, Mode{ByRoot: true})
	}))
}

func (p program) answer(tell func(told) error, reply []byte) int {
	if tell(told{Reply: reply}) != nil {
		return 1
	}
	return 0
}

// settle gives this process a folder of its own for what is temporary.
func settle() error {
	dir, err := job.Private()
	if err != nil {
		return err
	}
	return os.Setenv(scratch.HelperFolder, dir)
}

// runAs runs the module in a child as the user, passes its events on and
// returns what it replies.
func (m Module) runAs(ctx context.Context, o order, user reach.Identity, sink progress.Sink) ([]byte, error) {
	raw, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encode order: %w", err)
	}
	words := &child.Tail{Most: 128 << 10}
	child := command(user, "as", m.Name)
	child.Stderr = words
	ours, err := child.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer ours.Close()
	answers, err := child.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer answers.Close()
	if err := start(child); err != nil {
		return nil, fmt.Errorf("start module as %s: %w", user, err)
	}
	go func() { _, _ = ours.Write(raw) }() // a child that is gone is noticed at its answers
	stop := context.AfterFunc(ctx, func() { _ = child.Process.Signal(syscall.SIGTERM) })
	defer stop()
	// The child is another user's: its words are shown as any other text of others.
	said := &lines{keeper: secret.New(), next: sink}
	reply, err := m.hear(ctx, answers, said.add)
	if err != nil {
		_ = child.Process.Kill() // it may have ended by itself
		_ = child.Wait()         // and words are complete
		return nil, crash{fmt.Sprintf("%s as %s: %v", m.Name, user, err), job.CrashText(words.String())}
	}
	return again(reply), nil // not waited for: a call on a share that hangs may never come back
}

// hear reads the child's lines until its reply, which is one JSON object.
func (m Module) hear(ctx context.Context, answers io.ReadCloser, sink progress.Sink) ([]byte, error) {
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(m.grace, func() { _ = answers.Close() }) // it heeds no signal
	})
	defer stop()
	lines := bufio.NewReaderSize(io.LimitReader(answers, longestAll), 64<<10)
	for {
		line, err := errand.ReadLine(lines, longestLine)
		if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
			return nil, errors.New("ended without a reply")
		}
		if err != nil {
			return nil, fmt.Errorf("read answer: %w", err)
		}
		var t told
		if err := json.Unmarshal(line, &t); err != nil {
			return nil, fmt.Errorf("read answer: %w", err)
		}
		if t.Event != nil {
			sink(*t.Event)
		}
		if t.Reply == nil {
			continue
		}
		if reply := bytes.TrimSpace(t.Reply); len(reply) > 0 && reply[0] == '{' {
			return reply, nil
		}
		return nil, errors.New("the reply is no JSON object")
	}
}

// command calls this program as the user, with nothing of our environment but
// what tells where programs lie and how to write.
func command(user reach.Identity, words ...string) *exec.Cmd {
	child := exec.Command("/proc/self/exe", words...)
	child.Args[0], child.Dir = "cidx-helper", "/"
	child.Env = []string{"HOME=" + user.Home, "USER=" + user.String(), "LOGNAME=" + user.String()}
	for _, name := range []string{"PATH", "LANG", "LC_ALL", "TZ"} {
		if value, ok := os.LookupEnv(name); ok {
			child.Env = append(child.Env, name+"="+value)
		}
	}
	groups := make([]uint32, len(user.Groups))
	for i, g := range user.Groups {
		groups[i] = uint32(g)
	}
	servant := &syscall.Credential{Uid: uint32(user.UID), Gid: uint32(user.GID), Groups: groups}
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: servant}
	return child
}
