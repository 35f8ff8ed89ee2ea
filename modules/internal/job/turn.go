package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/owned"
)

// Turn is a job's right to work on a home. It lies beside the journal in the
// server's state folder, so that it is the same for every run, whoever starts
// it and from whatever helper's folder: "lease" says which run is at work,
// "lock" is held by its living job, and names it. Real jobs of one home run one
// after the other; a rehearsal waits for a living one and writes nothing.
//
// It is taken by the process that does the work as the server's user.
type Turn struct {
	request Request
	lock    *os.File
	stop    chan struct{}
	fresh   sync.WaitGroup // who refreshes the lease until then
}

// NewTurn is for one job.
func NewTurn(r Request) *Turn { return &Turn{request: r} }

func (t *Turn) path(name string) string { return filepath.Join(t.request.State, name) }

// Try takes the turn. busy names the living job that has it, and is "" once it
// is ours. The error is Held while another run is at work, else a Problem or an
// error of the disk.
func (t *Turn) Try() (busy string, err error) {
	problems, err := owned.State(t.request.State, os.Geteuid())
	switch {
	case err != nil:
		return "", err
	case len(problems) > 0 && t.request.Lists:
		return "", nil // it only looks, and tells them with whatever else it finds
	case len(problems) > 0:
		return "", problems
	}
	if t.request.Check {
		return t.glance()
	}
	if _, err := t.allowed(); err != nil {
		return "", err
	}
	lock, busy, err := t.seize()
	if lock == nil {
		return busy, err // or nothing to wait for
	}
	held, err := t.allowed() // again: it was a while ago
	if err == nil && t.request.Run.ID != "" && (held.ID != "" || t.request.Run.Lease == Take) {
		err = writeLease(t.path("lease"), t.request, held)
	}
	if err == nil {
		err = name(lock, t.request)
	}
	if err != nil {
		lock.Close()
		return "", err
	}
	t.lock, t.stop = lock, make(chan struct{})
	t.fresh.Go(t.refresh)
	return "", nil
}

// Await tries until nobody is busy with what is wanted; it calls waiting about once a second.
func Await(ctx context.Context, try func() (string, error), waiting func(busy string)) error {
	for i := 0; ; i++ {
		busy, err := try()
		if err != nil || busy == "" {
			return err
		}
		if i%20 == 0 {
			waiting(busy)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for another job, %s: %w", busy, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Leave gives the turn back, and the lease where the request says so. A turn
// that was not taken is left alone.
func (t *Turn) Leave() error {
	if t.lock == nil {
		return nil
	}
	close(t.stop)
	t.fresh.Wait()
	defer func() {
		t.lock.Close()
		t.lock = nil
	}()
	var last []string
	switch {
	case t.request.Run.ID == "":
		last = []string{"lock"}
	case t.request.Run.Lease == Release:
		held, _, err := readLease(t.path("lease"))
		if err != nil || held.ID != t.request.Run.ID {
			return err
		}
		last = []string{"lease", "lock"}
	}
	// Under the lock: whoever waits for it sees that the file has gone.
	for _, file := range last {
		if err := os.Remove(t.path(file)); err != nil && !durable.Absent(err) {
			return fmt.Errorf("give the turn back: %w", err)
		}
	}
	if last != nil {
		_ = os.Remove(t.request.State) // nothing was done: it is empty, else it stays
	}
	return nil
}

// allowed returns the lease that is there, and refuses where another run holds it.
func (t *Turn) allowed() (Lease, error) {
	held, ok, err := readLease(t.path("lease"))
	switch {
	case err != nil:
		return held, err
	case ok && !held.mine(t.request.Run):
		return held, Held{held}
	case !ok:
		return Lease{}, nil
	}
	return held, nil
}

// seize locks; nil where somebody else has the lock, or where there is none and
// none is needed.
func (t *Turn) seize() (lock *os.File, busy string, err error) {
	how := os.O_RDWR | unix.O_NOFOLLOW
	if t.request.Run.Lease == Take || t.request.Run.ID == "" {
		switch err := durable.MakeFolder(t.request.State); {
		case err == nil:
			how |= os.O_CREATE
		case t.request.Run.ID == "" || !there(t.request.Home): // the module tells better
		case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
			return nil, "", closed(t.request.State, err)
		default:
			return nil, "", err
		}
	}
	for {
		f, err := os.OpenFile(t.path("lock"), how, 0o600)
		if durable.Absent(err) {
			return nil, "", nil // no real job has been here
		}
		if err != nil {
			return nil, "", fmt.Errorf("open lock: %w", err)
		}
		err = flock(f, unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, errBusy) {
			defer f.Close()
			return nil, holder(f), nil
		}
		if err == nil && !stands(f) { // it was given back meanwhile
			f.Close()
			continue
		}
		if err != nil {
			f.Close()
			return nil, "", err
		}
		return f, "", nil
	}
}

// glance waits for nobody and writes nothing: it tells whether a real job lives.
func (t *Turn) glance() (busy string, err error) {
	if err := t.room(); err != nil {
		return "", err
	}
	f, err := os.OpenFile(t.path("lock"), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if durable.Absent(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("open lock: %w", err)
	}
	defer f.Close()
	err = flock(f, unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, errBusy) {
		return holder(f), nil
	}
	return "", err
}

// stands reports whether f is still the file of its name.
func stands(f *os.File) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(open, there)
}

// name writes into the lock who holds it, for messages.
func name(lock *os.File, r Request) error {
	raw, err := json.Marshal(tenant{r.Module, r.Time})
	if err == nil {
		err = lock.Truncate(0)
	}
	if err == nil {
		_, err = lock.WriteAt(append(raw, '\n'), 0)
	}
	if err != nil {
		return fmt.Errorf("write lock: %w", err)
	}
	return nil
}

// tenant is what a lock says of the job that holds it.
type tenant struct {
	Module string    `json:"module"`
	Time   time.Time `json:"time"`
}

func holder(lock *os.File) string {
	var h tenant
	raw, _ := io.ReadAll(io.NewSectionReader(lock, 0, 4096)) // unreadable: nothing to name
	if json.Unmarshal(raw, &h) != nil || h.Module == "" {
		return "a job"
	}
	return fmt.Sprintf("%s since %s", h.Module, h.Time.Format("15:04:05 MST"))
}

// refresh keeps the lease fresh while the job lives.
func (t *Turn) refresh() {
	for {
		if held, ok, err := readLease(t.path("lease")); err == nil && ok && held.ID == t.request.Run.ID {
			now := time.Now()
			_ = os.Chtimes(t.path("lease"), now, now) // given back meanwhile
		}
		select {
		case <-t.stop:
			return
		case <-time.After(30 * time.Second):
		}
	}
}
