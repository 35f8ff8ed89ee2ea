package standin

import (
	"sync"
	"time"

	"cidx-cluster/e2e/standin/internal/crypt"
)

const (
	bucketSize   = 10              // login attempts per user …
	bucketRefill = 6 * time.Second // … and how long one takes to come back
	lockFailures = 5
	lockWindow   = 15 * time.Minute
	mfaLife      = 5 * time.Minute
)

// gate slows logins down and remembers open MFA challenges, in memory as a standalone CIDX does.
type gate struct {
	mu         sync.Mutex
	buckets    map[string]*bucket
	failures   map[string][]time.Time
	challenges map[string]*challenge
}

type bucket struct {
	tokens float64
	at     time.Time
}

// challenge is a login whose password was right; it works once, from the same address.
type challenge struct {
	user, role, client string
	at                 time.Time
}

func (g *gate) init() {
	g.buckets, g.failures, g.challenges = map[string]*bucket{}, map[string][]time.Time{}, map[string]*challenge{}
}

// enter takes one attempt of a user; if there is none left it returns how long to wait, and whether wrong passwords have
// locked the account.
func (g *gate) enter(user string, now time.Time) (wait time.Duration, locked bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	recent := g.failures[user][:0]
	for _, at := range g.failures[user] {
		if now.Sub(at) < lockWindow {
			recent = append(recent, at)
		}
	}
	g.failures[user] = recent
	if len(recent) >= lockFailures {
		return lockWindow - now.Sub(recent[0]), true
	}
	b := g.buckets[user]
	if b == nil {
		b = &bucket{tokens: bucketSize, at: now}
		g.buckets[user] = b
	}
	b.tokens = min(bucketSize, b.tokens+float64(now.Sub(b.at))/float64(bucketRefill))
	b.at = now
	if b.tokens < 1 {
		return time.Duration((1 - b.tokens) * float64(bucketRefill)), false
	}
	b.tokens--
	return 0, false
}

// failed notes a wrong password; locked says whether it was one too many.
func (g *gate) failed(user string, now time.Time) (locked bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures[user] = append(g.failures[user], now)
	return len(g.failures[user]) >= lockFailures
}

func (g *gate) passed(user string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.failures, user)
}

func (g *gate) challenge(user, role, client string, now time.Time) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	token := crypt.RandomText(32)
	g.challenges[token] = &challenge{user: user, role: role, client: client, at: now}
	return token
}

// answer returns the challenge of a token if it may be tried from this address, and uses it up, whatever the code is.
func (g *gate) answer(token, client string, now time.Time) (challenge, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.challenges[token]
	if c == nil || c.client != client || now.Sub(c.at) >= mfaLife {
		return challenge{}, false
	}
	delete(g.challenges, token)
	return *c, true
}
