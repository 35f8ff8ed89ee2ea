package job

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func run(id, lease string) Run {
	return Run{ID: id, Controller: "ctl-" + id, User: "user-" + id, PID: 7, Lease: lease}
}

// step starts a job of a run and waits for its end.
func (n node) step(r Request) error {
	n.Helper()
	id, err := n.start(r, "say=x")
	if err != nil {
		return err
	}
	n.lines(id)
	n.eventually("the end of "+id, func() bool { return !n.living(id) })
	return nil
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
				if err := os.Chtimes(n.home("/h", "lease"), then, then); err != nil {
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

func TestForegroundObeysTheLease(t *testing.T) {
	n := newNode(t)
	if err := n.step(Request{Module: "m", Home: "/h", Run: run("a", Take)}); err != nil {
		t.Fatal(err)
	}
	ran := false
	work := func() []byte { ran = true; return []byte("{}") }
	var held Held
	if _, err := n.Foreground(context.Background(), Request{Module: "m", Home: "/h"}, work); !errors.As(err, &held) || ran {
		t.Errorf("a real call was let in: %v", err)
	}
	if _, err := n.Foreground(context.Background(), Request{Module: "m", Home: "/h", Check: true}, work); err != nil || !ran {
		t.Errorf("a rehearsal was refused: %v", err)
	}
}
