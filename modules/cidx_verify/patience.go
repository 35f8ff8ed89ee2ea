package verify

import (
	"regexp"
	"strconv"
	"time"

	"cidx-cluster/modules/internal/journal"
)

// How long a server is waited for, where the operator has not said.
const (
	least   = 30 * time.Second // from its first answer to health
	unknown = 5 * time.Minute  // to its first answer, where no start was measured
	briefly = 2 * time.Minute  // the least to its first answer
	factor  = 10               // times the longest start that was measured
)

// patience is how long a server is waited for: CIDX opens its port when its
// start is complete, which takes what its repositories and the machine make of
// it; then health follows at once.
type patience struct{ start, answer time.Duration }

// patience follows what earlier starts of this server have taken. What the
// operator says is the least.
func (v *verification) patience() patience {
	wait, floor := patience{start: unknown, answer: least}, briefly
	if v.args.Timeout > 0 {
		floor = time.Duration(v.args.Timeout) * time.Second
		wait = patience{start: floor, answer: floor}
	}
	if v.longest > 0 {
		wait.start = max(floor, factor*v.longest)
		wait.answer = max(wait.answer, 2*v.longest)
	}
	return wait
}

// longestStart is the longest start that the journal knows; 0 for none.
func longestStart(entries []journal.Entry) time.Duration {
	longest := 0.0
	for _, e := range entries {
		if e.Module == moduleName && e.Event == healthyEvent {
			seconds, _ := e.Data["seconds"].(float64)
			longest = max(longest, seconds)
		}
	}
	return time.Duration(longest * float64(time.Second))
}

var (
	busy = regexp.MustCompile(`(?i)^\W*(cpu|ram|mem|memory|swap|load)\b`)
	disk = regexp.MustCompile(`(?i)\b(disk|volume|storage|mount|space)\b.*?(\d+)(\.\d+)?\s*%`)
)

// diskUnhealthy is the fullness from which CIDX calls itself unhealthy; below it
// is degraded.
const diskUnhealthy = 90

// onlyBusy reports whether a server is unhealthy for reasons of CPU and memory
// alone; what would only make it degraded may stand beside them.
func onlyBusy(reasons []string) bool {
	some := false
	for _, r := range reasons {
		if busy.MatchString(r) {
			some = true
			continue
		}
		m := disk.FindStringSubmatch(r)
		if m == nil {
			return false
		}
		if percent, err := strconv.Atoi(m[2]); err != nil || percent >= diskUnhealthy {
			return false
		}
	}
	return some
}
