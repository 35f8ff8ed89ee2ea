package service

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/program"

	"github.com/google/go-cmp/cmp"
)

// recorder answers journalctl: the messages of systemd, or with --grep the lines
// of the server.
type recorder struct {
	told, ready string
	asked       []string
}

func (r *recorder) Run(_ context.Context, c program.Command) (program.Output, error) {
	call := strings.Join(c.Argv, " ")
	r.asked = append(r.asked, call)
	text := r.told
	if strings.Contains(call, "--grep") {
		text = r.ready
	}
	if text == "" {
		return program.Output{Code: 1}, nil
	}
	return program.Output{Text: text}, nil
}

// journalLines renders "seconds id" as journalctl --output=json does.
func journalLines(lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		var at float64
		var id string
		fmt.Sscan(line, &at, &id)
		fmt.Fprintf(&b, `{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"%.0f","_BOOT_ID":"b","MESSAGE_ID":%q}`+"\n", at*1e6, id)
	}
	return b.String()
}

func TestHistoryPairsStopsAndStarts(t *testing.T) {
	for name, c := range map[string]struct {
		told, ready []string
		want        History
	}{
		"nothing is known": {nil, nil, History{Stops: []float64{}, Starts: []float64{}}},
		"a simple unit restarts twice": {
			[]string{"10 " + unitStarted, "100 " + unitStopping, "104.5 " + unitStopped, "104.6 " + unitStarted, "300 " + unitStopping, "330 " + unitStopped, "331 " + unitStarting, "331.2 " + unitStarted},
			[]string{"18", "117.1", "340"}, History{Stops: []float64{4.5, 30}, Starts: []float64{8, 12.5, 9}},
		},
		"a server that died is started again by systemd": {
			[]string{"10 " + unitStarted, "50 " + unitExited, "60 " + unitStarted, "61 " + unitExited, "70 " + unitStarted}, []string{"15", "82"}, History{Stops: []float64{}, Starts: []float64{5, 12}},
		},
		"a start that never came to an end": {
			[]string{"10 " + unitStarted, "20 " + unitStopping, "21 " + unitStopped, "30 " + unitStarted}, []string{"36"}, History{Stops: []float64{1}, Starts: []float64{6}},
		},
		"the journal begins in the middle of a stop": {[]string{"5 " + unitStopped, "6 " + unitStarted}, []string{"2", "9"}, History{Stops: []float64{}, Starts: []float64{3}}},
		"the server writes no such line":             {[]string{"5 " + unitStopping, "6 " + unitStopped, "6 " + unitStarted}, nil, History{Stops: []float64{1}, Starts: []float64{}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{told: journalLines(c.told...), ready: journalLines(c.ready...)}
			got := Control{Args: Args{Manager: BySystemd, Unit: "cidx-server"}, Runner: r}.History(t.Context())
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if len(r.asked) != 2 || !strings.Contains(r.asked[0], " UNIT=cidx-server.service") || !strings.Contains(r.asked[1], "--unit=cidx-server.service") {
				t.Errorf("asked: %q", r.asked)
			}
		})
	}
}
