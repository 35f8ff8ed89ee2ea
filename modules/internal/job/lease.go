package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"cidx-cluster/modules/internal/cidx"
)

// RunArgument is the argument in which the action plugin tells who asks.
const RunArgument = "_cidx_run"

// LeaseTime is how long a lease outlives its last refresh: a controller that
// died does not lock others out for ever.
const LeaseTime = 10 * time.Minute

// What a run wants from the lease of a home.
const (
	Take    = "take"    // hold it from now on
	Peek    = "check"   // only be refused while another run holds it
	Release = "release" // take it, and give it back when this job has ended
)

// Run is one ansible-playbook process.
type Run struct {
	ID         string `json:"id"`
	Controller string `json:"controller"`         // its host name
	User       string `json:"user"`               // who started it there
	PID        int    `json:"pid"`                // of ansible-playbook
	Lease      string `json:"lease"`              // Take, Peek or Release; "" is Peek
	Takeover   string `json:"takeover,omitempty"` // id of a run whose controller says it is dead
}

// Lease says which run works on a home: two controllers must not interleave
// their steps. It is taken by the first step that changes something, refreshed
// by every further one and while a job lives, and given back by the last.
type Lease struct {
	Run
	Home      string    `json:"home"`
	Taken     time.Time `json:"taken"`
	Refreshed time.Time `json:"refreshed"` // the file's modification time
}

// Held is the refusal: another run holds the lease.
type Held struct{ Lease Lease }

// Error names the holder and the way out.
func (h Held) Error() string { return h.problem().Error() }

// Unwrap gives the refusal as a problem.
func (h Held) Unwrap() error { return h.problem() }

func (h Held) problem() cidx.Problem {
	l := h.Lease
	return cidx.Problem{
		What: fmt.Sprintf("another run is at work: ansible-playbook (pid %d) of %s on %s, since %s", l.PID, l.User, l.Controller, l.Taken.Format("15:04:05 MST")),
		At:   l.Home,
		Fix:  fmt.Sprintf("wait until it has ended; if it is dead, start it again there, or wait until %s", l.Refreshed.Add(LeaseTime).UTC().Format("15:04:05 MST")),
	}
}

// checkLease refuses a real job while another run holds the lease, and takes
// or refreshes it where the request says so.
func (s Store) checkLease(r Request) error {
	if r.Check {
		return nil
	}
	held, ok, err := s.lease(r.Home)
	if err != nil {
		return err
	}
	mine := ok && r.Run.ID != "" && (held.ID == r.Run.ID || held.ID == r.Run.Takeover)
	if ok && !mine {
		return Held{held}
	}
	if r.Run.ID == "" || (!ok && r.Run.Lease != Take && r.Run.Lease != Release) {
		return nil
	}
	next := Lease{Run: r.Run, Home: r.Home, Taken: time.Now().UTC()}
	next.Run.Lease, next.Run.Takeover = "", ""
	if held.ID == r.Run.ID {
		next.Taken = held.Taken
	}
	raw, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encode lease: %w", err)
	}
	return writeFile(s.home(r.Home, "lease"), raw)
}

// lease reads the lease of a home; ok is false where nobody holds a fresh one.
func (s Store) lease(home string) (l Lease, ok bool, err error) {
	path := s.home(home, "lease")
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, false, nil
	}
	if err != nil {
		return l, false, fmt.Errorf("read lease: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return l, false, fmt.Errorf("read lease: %w", err)
	}
	if json.Unmarshal(raw, &l) != nil {
		return Lease{}, false, nil // torn by a power cut: its holder died with it
	}
	l.Refreshed = info.ModTime().UTC()
	return l, time.Since(l.Refreshed) < LeaseTime, nil
}

// refreshLease keeps the lease of a home alive while a real job runs on it.
func (s Store) refreshLease(home string) {
	now := time.Now()
	_ = os.Chtimes(s.home(home, "lease"), now, now) // absent: nobody holds one
}

// releaseLease gives the lease back; another run's is left alone.
func (s Store) releaseLease(r Request) error {
	held, ok, err := s.lease(r.Home)
	if err != nil || !ok || held.ID != r.Run.ID {
		return err
	}
	return os.Remove(s.home(r.Home, "lease"))
}

// writeFile replaces a file by rename.
func writeFile(path string, raw []byte) error {
	temporary := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(temporary, raw, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
