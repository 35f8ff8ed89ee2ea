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

	"cidx-cluster/modules/internal/progress"
)

// lockFD is where launch puts the job's lock.
const lockFD = 3

// reserved is the room kept for the reply, so that a disk that fills up
// meanwhile cannot silence the job.
const reserved = 256 << 10

// statusPause is the shortest time between two statuses: a second at first, and less often later.
func statusPause(age time.Duration) time.Duration {
	return min(10*time.Second, max(time.Second, age/30))
}

// Work is the detached process: it reads the arguments from standard input,
// calls run and leaves the reply. SIGTERM and SIGINT cancel run's context; a
// hang-up does not reach a job.
func (s Store) Work(id string, run func(ctx context.Context, r Request, input []byte, sink progress.Sink) []byte) error {
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
	events := newEvents(filepath.Join(folder, "events.jsonl"))
	return leave(folder, run(ctx, request, input, events.add))
}

// events appends to the event file. What cannot be written is dropped: the
// reply repeats every line, and a full disk must not stop a migration here.
type events struct {
	mu     sync.Mutex
	path   string
	begun  time.Time
	status time.Time
}

func newEvents(path string) *events { return &events{path: path, begun: time.Now()} }

func (e *events) add(event progress.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if event.Line == nil && time.Since(e.status) < statusPause(time.Since(e.begun)) {
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
	short["all_warnings"] = []string{"the reply was shortened: no space for it in the helper's folder"}
	short["warnings"] = short["all_warnings"]
	raw, _ := json.Marshal(short) // decoded JSON always encodes
	return raw
}
