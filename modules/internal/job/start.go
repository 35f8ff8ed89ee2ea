package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/problem"
)

// Finished jobs are kept so that a broken connection can still fetch the
// reply: for this long, and not more than this many.
const (
	keepTime  = time.Hour
	keepCount = 20
)

// Start starts command (this program, told to Work on the folder it gets as
// its last word) with input on its standard input, or finds the living job that
// does the same already. It returns the job's id. The errors of an operator's
// making are Problems.
func (s Store) Start(ctx context.Context, r Request, command []string, input []byte) (string, error) {
	var mutex *os.File
	err := Await(ctx, func() (busy string, err error) {
		if mutex, err = lockFile(filepath.Join(s.dir, "start.lock"), unix.LOCK_EX); errors.Is(err, errBusy) {
			return "which is being started", nil
		}
		return "", err
	}, func(string) {})
	if err != nil {
		return "", fmt.Errorf("start job: %w", err)
	}
	defer mutex.Close()
	id, err := s.prune(r)
	if id != "" || err != nil {
		return id, err
	}
	return s.spawn(r, command, input)
}

// prune removes old finished jobs. A living job with the same key is returned
// when it has the same arguments, and is an error otherwise.
func (s Store) prune(r Request) (same string, err error) {
	entries, err := os.ReadDir(s.jobs())
	if err != nil {
		return "", fmt.Errorf("list jobs: %w", err)
	}
	finished := 0
	for i := len(entries) - 1; i >= 0; i-- {
		id := entries[i].Name()
		other, known := s.request(id)
		switch {
		case s.living(id):
			if known && other.key() == r.key() && !s.replied(id) {
				same, err = attach(id, other, r)
			}
		case !known, time.Since(other.Time) > keepTime, finished >= keepCount:
			if err := os.RemoveAll(filepath.Join(s.jobs(), id)); err != nil {
				return "", fmt.Errorf("remove finished job: %w", err)
			}
		default:
			finished++
		}
	}
	return same, err
}

func attach(id string, living, asked Request) (string, error) {
	if living.Hash == asked.Hash {
		return id, nil
	}
	if living.Run.ID != "" && asked.Run.ID != "" && living.Run.ID != asked.Run.ID {
		return "", nil // another run's: the home's lease decides, and names it
	}
	return "", problem.Problem{
		What: fmt.Sprintf("%s is at work already, with other arguments: job %s, since %s",
			asked.Module, id, living.Time.Format("15:04:05 MST")),
		At:  asked.Home,
		Fix: "wait until it has ended, or run the playbook with the variables it was started with",
	}
}

// request is what a job was started for.
func (s Store) request(id string) (Request, bool) {
	var r Request
	raw, err := os.ReadFile(filepath.Join(s.jobs(), id, "job.json"))
	return r, err == nil && json.Unmarshal(raw, &r) == nil
}

// living reports whether a job's process lives.
func (s Store) living(id string) bool {
	path := filepath.Join(s.jobs(), id, "lock")
	if _, err := os.Stat(path); err != nil {
		return false
	}
	f, err := lockFile(path, unix.LOCK_SH)
	if err != nil {
		return errors.Is(err, errBusy)
	}
	f.Close()
	return false
}

// replied reports whether a job has done its work: its process may be on its way
// out when whoever has heard the reply asks for the next one.
func (s Store) replied(id string) bool {
	_, err := os.Lstat(filepath.Join(s.jobs(), id, "reply.json"))
	return err == nil
}

// spawn makes the folder, takes the job's lock and hands it to the child.
func (s Store) spawn(r Request, command []string, input []byte) (id string, err error) {
	id = newID(r)
	folder := filepath.Join(s.jobs(), id)
	defer func() {
		if err != nil {
			os.RemoveAll(folder)
			err = s.full(err)
		}
	}()
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", fmt.Errorf("make job: %w", err)
	}
	lock, err := lockFile(filepath.Join(folder, "lock"), unix.LOCK_EX)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := reserve(folder); err != nil {
		return "", err
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("encode job: %w", err)
	}
	if err := durable.Write(filepath.Join(folder, "job.json"), raw, nil); err != nil {
		return "", err
	}
	return id, launch(append(command, id), lock, input)
}

// launch starts the detached process and feeds it its arguments.
func launch(command []string, lock *os.File, input []byte) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("start job: %w", err)
	}
	defer null.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start job: %w", err)
	}
	defer write.Close()
	process, err := os.StartProcess(command[0], command, &os.ProcAttr{
		Dir:   "/",
		Files: []*os.File{read, null, null, lock},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	read.Close()
	if err != nil {
		return fmt.Errorf("start job: %w", err)
	}
	if _, err := write.Write(input); err != nil {
		return fmt.Errorf("hand arguments to job: %w", err)
	}
	return process.Release()
}

// full turns a full or read-only disk into something an operator can act on.
func (s Store) full(err error) error {
	for _, cause := range []error{unix.ENOSPC, unix.EDQUOT, unix.EROFS} {
		if errors.Is(err, cause) {
			return problem.Problem{
				What: strings.ToLower(cause.Error()), At: s.dir,
				Fix: "free some space there, or set cidx_helper_dir to another folder",
			}
		}
	}
	return err
}
