package service

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/program"
)

// History is what the journal knows of the server's earlier stops and starts, in
// seconds, oldest first. Either is empty where it knows none.
type History struct {
	Stops  []float64 `json:"stops"`  // from the order to stop until the unit was stopped
	Starts []float64 `json:"starts"` // from the unit's start until the server answered
}

// Messages of systemd about a unit (sd-messages.h, systemd.journal-fields(7)).
const (
	unitStarting = "7d4958e842da4a758f6c1cdc7b36dcc5"
	unitStarted  = "39f53479d3a045ac8e11786248231fbf"
	unitStopping = "de5b426a63be47a7b6ac3eaac82e2f6f"
	unitStopped  = "9d1aaa27d60140bd96365438aad20286"
	unitExited   = "98e322203f7a4ed290d09fe03c09fe15"
)

// complete is what uvicorn, which serves CIDX, writes directly before it answers.
const complete = "Application startup complete"

// recent bounds how many stops and starts are looked at.
const recent = 10

// History reads the unit's journal. It is only for a forecast: what cannot be
// read is not known.
func (c Control) History(ctx context.Context) History {
	if c.Manager == ByCommand {
		return historyOf("", "")
	}
	match := "UNIT="
	if c.Scope.User {
		match = "USER_UNIT="
	}
	told := c.journal(ctx, "--lines="+fmt.Sprint(8*recent), "--output-fields=MESSAGE_ID", match+c.Server())
	ready := c.journal(ctx, "--lines="+fmt.Sprint(recent), "--output-fields=MESSAGE", "--grep="+complete, "--unit="+c.Server())
	return historyOf(told, ready)
}

// journal is what journalctl shows, an object a line; "" where it shows nothing.
// A large journal takes its time, and is not worth more of ours.
func (c Control) journal(ctx context.Context, args ...string) string {
	argv := append([]string{"journalctl"}, append(strings.Fields("--no-pager --quiet --output=json --since=-400d"), args...)...)
	command := program.Command{Argv: argv, Timeout: 10 * time.Second}
	if c.Scope.User {
		command.Argv = append(command.Argv, "--user")
		command.Env = userEnvironment()
	}
	out, err := c.Runner.Run(ctx, command)
	if err != nil || out.Code != 0 { // 1: nothing found; or built without --grep
		return ""
	}
	return out.Text
}

// mark is one line of the journal that matters here.
type mark struct {
	at float64 // seconds
	id string  // of systemd's message; complete for the server's
}

// historyOf pairs systemd's messages, and each start with the first line of a
// server that is ready.
func historyOf(told, ready string) History {
	marks := append(marksOf(told, ""), marksOf(ready, complete)...)
	slices.SortStableFunc(marks, func(a, b mark) int { return cmp.Compare(a.at, b.at) })
	h := History{Stops: []float64{}, Starts: []float64{}}
	var stopping, starting float64
	for _, m := range marks {
		switch {
		case m.id == unitStopping:
			stopping, starting = m.at, 0
		case m.id == unitStopped && stopping > 0:
			h.Stops, stopping = append(h.Stops, human.Tenths(m.at-stopping)), 0
		case m.id == unitExited: // a start that ended before its server was ready is none
			starting = 0
		case m.id == unitStarting, m.id == unitStarted && starting == 0: // of a simple unit an old systemd tells only the latter
			starting = m.at
		case m.id == complete && starting > 0:
			h.Starts, starting = append(h.Starts, human.Tenths(m.at-starting)), 0
		}
	}
	h.Stops, h.Starts = h.Stops[max(0, len(h.Stops)-recent):], h.Starts[max(0, len(h.Starts)-recent):]
	return h
}

// marksOf reads lines of journalctl's JSON; id is what they are where they do not
// say it themselves. Times are as precise as the journal's, microseconds.
func marksOf(text, id string) []mark {
	var list []mark
	for line := range strings.Lines(text) {
		micros, err := strconv.ParseFloat(gjson.Get(line, "__REALTIME_TIMESTAMP").Str, 64)
		if err == nil {
			list = append(list, mark{micros / 1e6, cmp.Or(id, gjson.Get(line, "MESSAGE_ID").Str)})
		}
	}
	return list
}
