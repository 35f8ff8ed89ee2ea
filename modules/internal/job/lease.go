package job

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/problem"
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

// Run is one ansible-playbook process. Machine, Boot, Space and Started tell the
// controller whether that process is dead: a host name does not.
type Run struct {
	ID         string `json:"id"`
	Controller string `json:"controller"`         // its host name
	User       string `json:"user"`               // who started it there
	PID        int    `json:"pid"`                // of ansible-playbook
	Machine    string `json:"machine,omitempty"`  // machine id of the controller
	Boot       string `json:"boot,omitempty"`     // id of its running kernel
	Space      string `json:"space,omitempty"`    // namespace in which PID counts
	Started    string `json:"started,omitempty"`  // start time of PID, as that kernel counts
	Lease      string `json:"lease"`              // Take, Peek or Release; "" is Peek
	Takeover   string `json:"takeover,omitempty"` // id of a run whose controller has proven that it is dead
}

// Lease says which run works on a home: two runs must not interleave their
// steps, whatever user and helper's folder each has. It is taken by the first step that changes something, refreshed
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

func (h Held) problem() problem.Problem {
	l := h.Lease
	return problem.Problem{
		What: fmt.Sprintf("another run is at work: ansible-playbook (pid %d) of %s on %s, since %s",
			l.PID, l.User, l.Controller, l.Taken.Format("15:04:05 MST")),
		At: l.Home,
		Fix: fmt.Sprintf("wait until it has ended; if it is dead, start it again there, or wait until %s",
			l.Refreshed.Add(LeaseTime).UTC().Format("15:04:05 MST")),
	}
}

// mine reports whether the lease is that of the asking run, or of one that it
// takes over from.
func (l Lease) mine(r Run) bool {
	return r.ID != "" && (l.ID == r.ID || l.ID == r.Takeover)
}

// readLease reads a lease; ok is false where nobody holds a fresh one.
func readLease(path string) (l Lease, ok bool, err error) {
	raw, err := os.ReadFile(path)
	if durable.Absent(err) {
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

// writeLease makes the lease that r asks for; before is the one that is there.
func writeLease(path string, r Request, before Lease) error {
	next := Lease{Run: r.Run, Home: r.Home, Taken: time.Now().UTC()}
	next.Run.Lease, next.Run.Takeover = "", ""
	if before.ID == r.Run.ID {
		next.Taken = before.Taken
	}
	raw, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encode lease: %w", err)
	}
	return durable.Write(path, raw, nil)
}
