package verify

import (
	"path/filepath"
	"testing"
	"time"

	"cidx-cluster/modules/internal/journal"
)

func TestAServerIsWaitedForAsLongAsItHasTakenBefore(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		configured    int
		longest       time.Duration
		start, answer time.Duration
	}{
		"nothing is known":                             {0, 0, 5 * time.Minute, 30 * s},
		"the operator has said it":                     {2, 0, 2 * s, 2 * s},
		"the operator has said it, generously":         {900, 0, 900 * s, 900 * s},
		"short starts":                                 {0, 2 * s, 2 * time.Minute, 30 * s},
		"long starts":                                  {0, 100 * s, 1000 * s, 200 * s},
		"long starts, and the operator has said less":  {20, 100 * s, 1000 * s, 200 * s},
		"short starts, and the operator has said more": {900, 2 * s, 900 * s, 900 * s},
	} {
		t.Run(name, func(t *testing.T) {
			v := &verification{args: args{Timeout: c.configured}, longest: c.longest}
			if got := v.patience(); got.start != c.start || got.answer != c.answer {
				t.Errorf("waits %+v, want %v and %v", got, c.start, c.answer)
			}
		})
	}
}

// TestAStartIsMeasuredOnce: from our own start of the service to health.
func TestAStartIsMeasuredOnce(t *testing.T) {
	dir, k := seeded(t)
	book := filepath.Join(dir, ".cluster-migrate/journal.jsonl")
	must(t, journal.Append(book, "cidx_service", "started", nil))
	arguments := map[string]any{"home": dir, "mode": "standalone", "url": serve(t, dir, "-slow-start", "1500ms"), "api_key": k.Admin.Key}
	for range 2 { // the second one has started nothing
		want(t, call(t, arguments), false, "4/4 accessible")
	}
	entries, err := journal.Read(book)
	must(t, err)
	if got := longestStart(entries); len(entries) != 2 || got < time.Second || got > 20*time.Second {
		t.Errorf("measured %v in %+v", got, entries)
	}
}

func TestReasonsOfABusyMachineAreNoFault(t *testing.T) {
	for name, c := range map[string]struct {
		reasons []string
		want    bool
	}{
		"CPU":                            {[]string{"CPU: 97% sustained >60s"}, true},
		"memory":                         {[]string{"RAM: 96% used"}, true},
		"memory, spelled out":            {[]string{"Memory usage critical: 97.2%"}, true},
		"both":                           {[]string{"CPU: 99% sustained >60s", "memory: 95%"}, true},
		"and a volume that is half full": {[]string{"CPU: 97% sustained >60s", "volume of golden-repos is 82 % full"}, true},
		"and a volume that is full":      {[]string{"CPU: 97% sustained >60s", "volume of golden-repos is 93 % full"}, false},
		"only the volume":                {[]string{"volume of golden-repos is 82 % full"}, false},
		"and a database":                 {[]string{"CPU: 97% sustained >60s", "database groups does not answer"}, false},
		"a database called memory":       {[]string{"database memory does not answer"}, false},
		"none":                           {nil, false},
	} {
		if got := onlyBusy(c.reasons); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
