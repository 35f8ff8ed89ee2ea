package report

import (
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/document"
	"cidx-cluster/modules/internal/human"
)

// measured are the replies of a rehearsal.
func measured(more map[string]any) map[string]any {
	all := map[string]any{
		"precheck":           map[string]any{"check_mode": false, "forecast": map[string]any{"snapshot_bytes": 100e6}},
		"service_rehearsal":  map[string]any{"check_mode": true, "earlier": map[string]any{"stops": []float64{2, 4}, "starts": []float64{10}}},
		"backup_rehearsal":   map[string]any{"check_mode": true, "seconds": 0.5},
		"database_rehearsal": map[string]any{"check_mode": true, "seconds": 20},
		"files_rehearsal":    map[string]any{"check_mode": true, "seconds": 5, "forecast": map[string]any{"delta_seconds": 6, "warm_seconds": 300}},
		"aliases_rehearsal":  map[string]any{"check_mode": true, "seconds": 0.2},
		"config_rehearsal":   map[string]any{"check_mode": true, "seconds": 0.3},
	}
	maps.Copy(all, more)
	return all
}

func TestTheDowntimeIsForecastFromWhatTheRehearsalMeasured(t *testing.T) {
	nothing := map[string]any{"check_mode": true, "earlier": map[string]any{"stops": []float64{}, "starts": []float64{}}}
	for name, c := range map[string]struct {
		replies map[string]any
		want    string // lines of the summary
	}{
		"with earlier stops and starts": {measured(nil), "Expected downtime: 12 s to 1 min 56 s"},
		"without":                       {measured(map[string]any{"service_rehearsal": nothing}), "Expected downtime: 3.7 s to 1 min 33 s\n  and the server's stop and the server's start, of which no journal tells"},
		"where a rehearsal failed":      {measured(map[string]any{"database_rehearsal": map[string]any{"check_mode": true, "failed": true}}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			reply := call(t, newHome(t), document.Rehearsed, map[string]any{"replies": c.replies, "host": "node1", "_ansible_check_mode": true})
			text := lines(reply, "lines")
			if c.want == "" {
				if strings.Contains(text, "xpected downtime") || reply.Get("report.forecast.downtime").Exists() {
					t.Error(text)
				}
				return
			}
			if !strings.Contains(text, c.want) {
				t.Errorf("want %q in\n%s\n%s", c.want, text, reply.Get("report.forecast").Raw)
			}
		})
	}
}

// Every number of a forecast can be traced: the parts add up to the whole.
func TestTheForecastIsTheSumOfItsParts(t *testing.T) {
	f := call(t, newHome(t), document.Rehearsed, map[string]any{"replies": measured(nil), "host": "node1", "_ansible_check_mode": true}).Get("report.forecast.downtime")
	least, most := 0.0, 0.0
	f.Get("parts").ForEach(func(_, p gjson.Result) bool {
		least, most = least+p.Get("least_seconds").Float(), most+p.Get("most_seconds").Float()
		if p.Get("from").Str == "" || p.Get("least_seconds").Float() > p.Get("most_seconds").Float() {
			t.Error(p.Raw)
		}
		return true
	})
	if human.Tenths(least) != f.Get("least_seconds").Float() || human.Tenths(most) != f.Get("most_seconds").Float() {
		t.Errorf("%.1f to %.1f: %s", least, most, f.Raw)
	}
}

func TestAMigrationShowsForecastBesideFact(t *testing.T) {
	all := measured(nil)
	maps.Copy(all, replies(t))
	reply := call(t, newHome(t), document.Migrated, map[string]any{"replies": all, "host": "node1"})
	if text := lines(reply, "lines"); !strings.Contains(text, "\nDowntime: ") || !strings.Contains(text, "\n  Forecast: ") {
		t.Error(text)
	}
}

// The number of calls is that of the tasks from the stop to the first answer.
func TestTheCallsOfTheDowntimeAreCounted(t *testing.T) {
	var tasks strings.Builder
	for _, role := range []string{"move", "start", "verify"} {
		text, err := os.ReadFile("../../roles/" + role + "/tasks/main.yml")
		must(t, err)
		tasks.Write(text)
	}
	_, after, _ := strings.Cut(tasks.String(), "state: stopped")
	until, _, found := strings.Cut(after, "mode: cluster")
	if n := 1 + strings.Count(until, "cidx.cluster.cidx_"); !found || n != calls {
		t.Errorf("%d modules are called from the stop to the first answer, and the forecast counts %d", n, calls)
	}
}
