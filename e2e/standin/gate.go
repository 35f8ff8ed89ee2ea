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
	mfaAttempts  = 5
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
	attempts           int
}

func (g *gate) init() {
	g.buckets, g.failures, g.challenges = map[string]*bucket{}, map[string][]time.Time{}, map[string]*challenge{}
}

// enter takes one attempt of a user; if there is none left it returns how long to wait.
func (g *gate) enter(user string, now time.Time) (wait time.Duration) {
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
		return lockWindow - now.Sub(recent[0])
	}
	b := g.buckets[user]
	if b == nil {
		b = &bucket{tokens: bucketSize, at: now}
		g.buckets[user] = b
	}
	b.tokens = min(bucketSize, b.tokens+float64(now.Sub(b.at))/float64(bucketRefill))
	b.at = now
	if b.tokens < 1 {
		return time.Duration((1 - b.tokens) * float64(bucketRefill))
	}
	b.tokens--
	return 0
}

func (g *gate) failed(user string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures[user] = append(g.failures[user], now)
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

// answer returns the challenge of a token if it may still be tried from this address.
func (g *gate) answer(token, client string, now time.Time) (challenge, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.challenges[token]
	if c == nil || c.client != client || now.Sub(c.at) >= mfaLife || c.attempts >= mfaAttempts {
		return challenge{}, false
	}
	c.attempts++
	return *c, true
}

func (g *gate) spend(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.challenges, token)
}
