package standin

import (
	"testing"
	"time"
)

func TestChallenge(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	for name, c := range map[string]struct {
		before func(g *gate, token string)
		client string
		after  time.Duration
		want   bool
	}{
		"works from the same address":                     {nil, "10.0.0.1", time.Minute, true},
		"is refused from another address":                 {nil, "10.0.0.2", time.Minute, false},
		"is refused after five minutes":                   {nil, "10.0.0.1", mfaLife, false},
		"is refused once it was answered, right or wrong": {func(g *gate, token string) { g.answer(token, "10.0.0.1", now) }, "10.0.0.1", time.Minute, false},
		"survives an answer from another address":         {func(g *gate, token string) { g.answer(token, "10.0.0.2", now) }, "10.0.0.1", time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			var g gate
			g.init()
			token := g.challenge("ops", "admin", "10.0.0.1", now)
			if c.before != nil {
				c.before(&g, token)
			}
			if _, got := g.answer(token, c.client, now.Add(c.after)); got != c.want {
				t.Fatalf("got %v", got)
			}
		})
	}
}

func TestAttemptsComeBackWithTime(t *testing.T) {
	var g gate
	g.init()
	now := time.Unix(1_790_000_000, 0)
	for n := range bucketSize {
		if wait, _ := g.enter("ops", now); wait != 0 {
			t.Fatalf("attempt %d waits %s", n+1, wait)
		}
	}
	if wait, _ := g.enter("ops", now); wait != bucketRefill {
		t.Errorf("attempt %d waits %s", bucketSize+1, wait)
	}
	if wait, _ := g.enter("ops", now.Add(bucketRefill)); wait != 0 {
		t.Errorf("after the refill: %s", wait)
	}
	for range lockFailures {
		g.failed("dev", now)
	}
	if wait, locked := g.enter("dev", now.Add(time.Minute)); !locked || wait != lockWindow-time.Minute {
		t.Errorf("locked user waits %s", wait)
	}
	if wait, _ := g.enter("dev", now.Add(lockWindow)); wait != 0 {
		t.Errorf("after the lock-out: %s", wait)
	}
}
