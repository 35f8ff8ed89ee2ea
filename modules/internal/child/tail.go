package child

import "sync"

// Tail keeps the last bytes of what a child says, at least Most where there are
// so many.
type Tail struct {
	Most int
	mu   sync.Mutex
	raw  []byte
}

func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.raw = append(t.raw, p...); len(t.raw) > 2*t.Most {
		t.raw = append([]byte(nil), t.raw[len(t.raw)-t.Most:]...)
	}
	return len(p), nil
}

func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.raw)
}
