package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/printable"
	"cidx-cluster/modules/internal/progress"
)

// lockFD is where launch puts the job's lock.
const lockFD = 3

// reserved is the room kept for the reply, so that a disk that fills up
// meanwhile cannot silence the job.
const reserved = 256 << 10

// statusPause is the shortest time between two statuses in the event file.
const statusPause = 500 * time.Millisecond

// Work is the detached process: it reads the arguments from standard input,
// calls run and leaves the reply. SIGTERM and SIGINT cancel run's context; a
// hang-up does not reach a job.
func (s Store) Work(id string, run func(ctx context.Context, input []byte, sink progress.Sink) []byte) error {
	unix.CloseOnExec(lockFD) // children of the module must not keep a dead job alive
	signal.Ignore(syscall.SIGHUP)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	folder, err := s.folder(id)
	if err != nil {
		return err
	}
	request, known := s.request(id)
	if !known {
		return fmt.Errorf("work on job %s: no job.json", id)
	}
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return fmt.Errorf("read arguments: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "pid"), strconv.AppendInt(nil, int64(os.Getpid()), 10), 0o600); err != nil {
		return fmt.Errorf("write pid: %w", err)
	}
	if f, err := os.OpenFile(filepath.Join(folder, "crash"), os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
		_ = debug.SetCrashOutput(f, debug.CrashOptions{}) // a crash without its text is still reported
		f.Close()
	}
	reply := s.exclusively(ctx, request, folder, input, run)
	err = leave(folder, reply)
	if request.Run.Lease == Release {
		err = errors.Join(err, s.releaseLease(request))
	}
	return err
}

// Foreground runs a module without a job, under the same rules: it is refused
// while another run holds the home's lease, and real calls of one home run one
// after the other.
func (s Store) Foreground(ctx context.Context, r Request, run func() []byte) ([]byte, error) {
	if r.Check {
		return run(), nil
	}
	mutex, err := awaitLock(ctx, filepath.Join(s.dir, "start.lock"), unix.LOCK_EX, func() {})
	if err != nil {
		return nil, err
	}
	err = s.checkLease(r)
	mutex.Close()
	if err != nil {
		return nil, err
	}
	lock, err := awaitLock(ctx, s.home(r.Home, "lock"), unix.LOCK_EX, func() {})
	if err != nil {
		return nil, fmt.Errorf("wait for other jobs of %s: %w", r.Home, err)
	}
	defer lock.Close()
	return run(), nil
}

// exclusively runs the module: a real job after every other real job of its
// home has ended, a rehearsal beside them but never into a living one.
func (s Store) exclusively(ctx context.Context, r Request, folder string, input []byte, run func(context.Context, []byte, progress.Sink) []byte) []byte {
	events := newEvents(filepath.Join(folder, "events.jsonl"))
	how := unix.LOCK_EX
	if r.Check {
		how = unix.LOCK_SH
	}
	lock, err := awaitLock(ctx, s.home(r.Home, "lock"), how, func() {
		events.add(progress.Event{Time: time.Now().UTC(), Status: &progress.Status{What: "waiting for a job that an earlier run left: " + s.busy(r.Home)}})
	})
	if err != nil {
		what := printable.Line("wait for other jobs of " + r.Home + ": " + err.Error())
		return failure(r, what, what, nil)
	}
	if r.Check {
		lock.Close() // a rehearsal must never make a real run wait
		return run(ctx, input, events.add)
	}
	defer lock.Close()
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			s.refreshLease(r.Home)
			select {
			case <-done:
				return
			case <-time.After(30 * time.Second):
			}
		}
	}()
	return run(ctx, input, events.add)
}

// busy names the living real jobs of a home.
func (s Store) busy(home string) string {
	entries, _ := os.ReadDir(s.jobs()) // unreadable: nothing to name
	names := ""
	for _, e := range entries {
		if r, ok := s.request(e.Name()); ok && r.Home == home && !r.Check && s.living(e.Name()) {
			names += " " + e.Name()
		}
	}
	return names
}

// events appends to the event file. What cannot be written is dropped: the
// reply repeats every line, and a full disk must not stop a migration here.
type events struct {
	mu     sync.Mutex
	path   string
	status time.Time
}

func newEvents(path string) *events { return &events{path: path} }

func (e *events) add(event progress.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if event.Line == nil && time.Since(e.status) < statusPause {
		return
	}
	if event.Line == nil {
		e.status = time.Now()
	}
	raw, err := json.Marshal(event)
	if err != nil {
		return
	}
	f, err := os.OpenFile(e.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = f.Write(append(raw, '\n'))
}

// reserve sets room aside for the reply.
func reserve(folder string) error {
	f, err := os.OpenFile(filepath.Join(folder, "reply.new"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("reserve reply: %w", err)
	}
	defer f.Close()
	err = unix.Fallocate(int(f.Fd()), 0, 0, reserved)
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("reserve reply: %w", err)
	}
	return nil
}

// leave writes the reply into the room kept for it and shows it by rename. One
// that does not fit on a full disk loses its lists.
func leave(folder string, reply []byte) error {
	path := filepath.Join(folder, "reply.new")
	if err := fill(path, reply); err != nil {
		if err := fill(path, shorten(reply)); err != nil {
			return err
		}
	}
	if err := os.Rename(path, filepath.Join(folder, "reply.json")); err != nil {
		return fmt.Errorf("show reply: %w", err)
	}
	return nil
}

func fill(path string, raw []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write reply: %w", err)
	}
	defer f.Close()
	if _, err := f.Write(raw); err != nil {
		return fmt.Errorf("write reply: %w", err)
	}
	if err := f.Truncate(int64(len(raw))); err != nil {
		return fmt.Errorf("write reply: %w", err)
	}
	return nil
}

// shorten keeps the keys that tell how a module ended.
func shorten(reply []byte) []byte {
	var all map[string]any
	if json.Unmarshal(reply, &all) != nil {
		return reply
	}
	short := map[string]any{}
	for _, name := range []string{"changed", "failed", "msg", "hint", "skipped"} {
		if v, ok := all[name]; ok {
			short[name] = v
		}
	}
	short["warnings"] = []string{"the reply was shortened: no space for it in the helper's folder"}
	raw, _ := json.Marshal(short) // decoded JSON always encodes
	return raw
}
