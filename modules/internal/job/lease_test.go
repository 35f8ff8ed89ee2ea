package job

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func run(id, lease string) Run {
	return Run{ID: id, Controller: "ctl-" + id, User: "user-" + id, PID: 7, Lease: lease}
}

// step does one step of a run.
func (n node) step(r Request) error {
	n.Helper()
	r.State = n.state(r.Home)
	turn := NewTurn(r)
	busy, err := turn.Try()
	if busy != "" {
		n.Fatalf("%s is at work", busy)
	}
	if err != nil {
		return err
	}
	return turn.Leave()
}

func TestLease(t *testing.T) {
	taken := Request{Module: "m", Home: "/h", Run: run("a", Take)}
	for name, test := range map[string]struct {
		before  []Request
		age     time.Duration // of the lease
		next    Request
		refused bool
	}{
		"nobody holds it":                               {nil, 0, taken, false},
		"the same run goes on":                          {[]Request{taken}, 0, Request{Module: "k", Home: "/h", Run: run("a", Take)}, false},
		"another run is refused":                        {[]Request{taken}, 0, Request{Module: "k", Home: "/h", Run: run("b", Take)}, true},
		"another run may not even look":                 {[]Request{taken}, 0, Request{Module: "k", Home: "/h", Run: run("b", Peek)}, true},
		"a call without a run is refused":               {[]Request{taken}, 0, Request{Module: "k", Home: "/h"}, true},
		"a rehearsal is let in":                         {[]Request{taken}, 0, Request{Module: "k", Home: "/h", Check: true, Run: run("b", Take)}, false},
		"another home is free":                          {[]Request{taken}, 0, Request{Module: "k", Home: "/g", Run: run("b", Take)}, false},
		"looking does not take it":                      {[]Request{{Module: "m", Home: "/h", Run: run("a", Peek)}}, 0, Request{Module: "k", Home: "/h", Run: run("b", Take)}, false},
		"a rehearsal does not take it":                  {[]Request{{Module: "m", Home: "/h", Check: true, Run: run("a", Take)}}, 0, Request{Module: "k", Home: "/h", Run: run("b", Take)}, false},
		"it is free after the release":                  {[]Request{taken, {Module: "r", Home: "/h", Run: run("a", Release)}}, 0, Request{Module: "k", Home: "/h", Run: run("b", Take)}, false},
		"it is free when its holder is silent too long": {[]Request{taken}, LeaseTime + time.Second, Request{Module: "k", Home: "/h", Run: run("b", Take)}, false},
		"it is held nearly as long":                     {[]Request{taken}, LeaseTime - time.Minute, Request{Module: "k", Home: "/h", Run: run("b", Take)}, true},
		"the successor of a dead run takes it over":     {[]Request{taken}, 0, Request{Module: "k", Home: "/h", Run: Run{ID: "b", Lease: Peek, Takeover: "a"}}, false},
		"a successor of yet another run does not":       {[]Request{taken}, 0, Request{Module: "k", Home: "/h", Run: Run{ID: "b", Lease: Peek, Takeover: "z"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			for _, r := range test.before {
				if err := n.step(r); err != nil {
					t.Fatal(err)
				}
			}
			if test.age > 0 {
				then := time.Now().Add(-test.age)
				if err := os.Chtimes(filepath.Join(n.state("/h"), "lease"), then, then); err != nil {
					t.Fatal(err)
				}
			}
			err := n.step(test.next)
			var held Held
			if errors.As(err, &held) != test.refused {
				t.Fatalf("got %v", err)
			}
			if test.refused && (!strings.Contains(err.Error(), "user-a on ctl-a") || held.Lease.PID != 7) {
				t.Errorf("the refusal does not name the holder: %v", err)
			}
		})
	}
}

func TestTakeoverLocksTheOldRunOut(t *testing.T) {
	n := newNode(t)
	for _, r := range []Request{
		{Module: "m", Home: "/h", Run: run("a", Take)},
		{Module: "k", Home: "/h", Run: Run{ID: "b", Lease: Peek, Takeover: "a"}},
	} {
		if err := n.step(r); err != nil {
			t.Fatal(err)
		}
	}
	var held Held
	if err := n.step(Request{Module: "m", Home: "/h", Run: run("a", Take)}); !errors.As(err, &held) {
		t.Errorf("the old run went on: %v", err)
	}
}

// Who starts a run, and from which helper's folder, makes no difference.
func TestTheLeaseIsTheHomesAndNotTheHelpers(t *testing.T) {
	state := t.TempDir()
	taken := NewTurn(Request{Module: "m", Home: "/h", State: state, Run: run("a", Take)})
	if busy, err := taken.Try(); busy != "" || err != nil {
		t.Fatal(busy, err)
	}
	var held Held
	if _, err := NewTurn(Request{Module: "m", Home: "/other/spelling", State: state, Run: run("b", Take)}).Try(); !errors.As(err, &held) {
		t.Errorf("a second run was let in: %v", err)
	}
	if busy, err := NewTurn(Request{Module: "k", Home: "/h", State: state, Run: run("a", Take)}).Try(); err != nil || !strings.Contains(busy, "m since ") {
		t.Errorf("a second job of the run was let in: %q, %v", busy, err)
	}
	if busy, err := NewTurn(Request{Module: "k", Home: "/h", State: state, Check: true}).Try(); err != nil || busy == "" {
		t.Errorf("a rehearsal did not wait: %q, %v", busy, err)
	}
	if err := taken.Leave(); err != nil {
		t.Fatal(err)
	}
	last := NewTurn(Request{Module: "r", Home: "/h", State: state, Run: run("a", Release)})
	if busy, err := last.Try(); busy != "" || err != nil {
		t.Fatal(busy, err)
	}
	if err := last.Leave(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(state); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}

func TestARehearsalAndALookWriteNothing(t *testing.T) {
	for name, r := range map[string]Request{
		"a rehearsal":             {Check: true, Run: run("a", Take)},
		"a look":                  {Run: run("a", Peek)},
		"a call without any run":  {},
		"a report that is no run": {Run: run("a", Release)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r.Module, r.State = "m", filepath.Join(dir, "state")
			turn := NewTurn(r)
			if busy, err := turn.Try(); busy != "" || err != nil {
				t.Fatal(busy, err)
			}
			if err := turn.Leave(); err != nil {
				t.Fatal(err)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("left are %v", left)
			}
		})
	}
}
