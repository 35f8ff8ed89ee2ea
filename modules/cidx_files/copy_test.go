package files

import "testing"

func TestWarmThenDeltaMakesTheTreesEqual(t *testing.T) {
	s := newServer(t)
	before := snapshot(t, s.path("data"))
	r := s.must(phaseWarm)
	if !r.Changed {
		t.Error("the first pass says that it changed nothing")
	}
	s.mustEqual()
	s.must(phaseDelta)
	s.mustEqual()
	r = s.must(phaseDelta)
	if r.Changed {
		t.Errorf("a pass without work says changed: %v", r.Data)
	}
	mustMatch(t, before, snapshot(t, s.path("data")))
}
