package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// eager makes the node's updater want the server running every second, and adds
// something that no migration can know: a unit that tries to start the server
// all the time.
func (s *stage) eager() {
	s.t.Helper()
	every, err := units.ReadFile("units/every-second.conf")
	s.must(err)
	s.must(errors.Join(
		s.node.Write("/etc/systemd/system/cidx-auto-update.timer.d/every-second.conf", string(every), 0o644),
		s.node.Write("/etc/systemd/system/cidx-watchdog.timer.d/every-second.conf", string(every), 0o644),
		s.node.Write("/etc/cidx-eager", "", 0o644),
	))
	for _, words := range [][]string{
		{"systemctl", "daemon-reload"}, {"systemctl", "restart", "cidx-auto-update.timer", "cidx-watchdog.timer"}, {"systemctl", "start", "stubborn"},
	} {
		_, err := s.node.Run(s.ctx, words...)
		s.must(err)
	}
}

// entry is a line of systemd's journal.
type entry struct {
	at      time.Time
	unit    string
	message string
	id      string // MESSAGE_ID: what happened, in every language
}

const (
	unitStarted = "39f53479d3a045ac8e11786248231fbf"
	jobBegun    = "7d4958e842da4a758f6c1cdc7b36dcc5"

	// serverSpeaks is the first line of the server itself. systemd's own "Started"
	// proves nothing: version 252 also writes it for a start that an ExecCondition
	// and then the start limit have refused.
	serverSpeaks = "Storage mode:"
)

func (s *stage) nodeJournal(unit string) []entry {
	s.t.Helper()
	of := []string{"-u", unit}
	if s.own {
		of = []string{"_SYSTEMD_USER_UNIT=" + unit, "+", "USER_UNIT=" + unit}
	}
	out, err := s.node.Run(s.ctx, append([]string{"journalctl", "-o", "json", "--no-pager"}, of...)...)
	s.must(err)
	var found []entry
	for line := range bytes.Lines([]byte(out)) {
		var e struct {
			Time    json.Number `json:"__REALTIME_TIMESTAMP"`
			Unit    string      `json:"UNIT"`
			Message any         `json:"MESSAGE"`
			ID      string      `json:"MESSAGE_ID"`
		}
		if err := json.Unmarshal(line, &e); err != nil {
			s.t.Fatalf("node's journal: %v", err)
		}
		micros, err := e.Time.Int64()
		s.must(err)
		text, _ := e.Message.(string)
		found = append(found, entry{time.UnixMicro(micros), e.Unit, text, e.ID})
	}
	return found
}

// window is the time in which nothing may start the server: from the proof
// that it is stopped to our own start.
func (s *stage) window() (from, to time.Time) {
	s.t.Helper()
	for _, e := range s.journal() {
		switch {
		case e.point() == "cidx_service.stopped":
			from = e.Time
		case e.point() == "cidx_service.starting" && to.IsZero():
			to = e.Time
		}
	}
	if from.IsZero() || to.Before(from) {
		s.t.Fatalf("the journal of the migration has no window: %v to %v", from, to)
	}
	return from, to
}

// TestHeldAgainstAnEagerUpdater: whatever fires, and however often, the server
// is not started between our stop and our start; before and after, it is.
func TestHeldAgainstAnEagerUpdater(t *testing.T) {
	s := scenario(t, 5*time.Minute)
	s.eager()
	was := s.units()
	s.migrate()
	s.judge("equal", "-running")
	from, to := s.window()
	refused := 0
	for _, e := range s.nodeJournal("cidx-server.service") {
		inside := e.at.After(from) && e.at.Before(to)
		if inside && strings.Contains(e.message, serverSpeaks) {
			t.Errorf("%s: %s", e.at.Format(time.StampMilli), e.message)
		}
		if inside && strings.Contains(e.message, "Skipped due to 'exec-condition'") {
			refused++
		}
	}
	if refused < 3 {
		t.Errorf("the server's start was tried %d times in the window: the scenario proves nothing", refused)
	}
	t.Logf("window of %.1f s: %d starts were tried, none happened", to.Sub(from).Seconds(), refused)
	for _, unit := range []string{"cidx-auto-update.service", "cidx-watchdog.service"} {
		for _, e := range s.nodeJournal(unit) {
			if e.id == jobBegun && e.at.After(from) && e.at.Before(to) {
				t.Errorf("%s ran in the window, at %s", unit, e.at.Format(time.StampMilli))
			}
		}
	}
	s.sameUnits(was)
	s.firesAgain(to)
}

// firesAgain wants the updater at work again, as before.
func (s *stage) firesAgain(after time.Time) {
	s.t.Helper()
	s.must(await("the updater to fire again", 20*time.Second, func() error {
		for _, e := range s.nodeJournal("cidx-auto-update.service") {
			if e.at.After(after) && e.id == unitStarted {
				return nil
			}
		}
		return errors.New("it has not")
	}))
}

// TestRunningUpdaterIsWaitedFor: an update under way is not torn apart, and the
// restart that it wants at its end does not happen.
func TestRunningUpdaterIsWaitedFor(t *testing.T) {
	longer(t)
	s := scenario(t, 5*time.Minute)
	s.must(errors.Join(s.node.Write("/etc/cidx-slow-update", "25\n", 0o644), s.node.Write("/etc/cidx-eager", "", 0o644)))
	s.playAt(afterWarmCopy, func(*Playing) error {
		_, err := s.node.Run(s.ctx, "systemctl", "start", "--no-block", "cidx-auto-update.service")
		return err
	}, "cluster-migrate.yml", "-l", "node1")
	if s.last.Exit != 0 {
		t.Fatal("the migration failed")
	}
	from, to := s.window()
	begun, ended := 0, 0
	for _, e := range s.nodeJournal("cidx-auto-update.service") {
		if e.id == jobBegun {
			begun++
		}
		if strings.Contains(e.message, "Deactivated successfully") && e.at.Before(from) {
			ended++
		}
		if strings.Contains(e.message, "Failed") || strings.Contains(e.message, "Main process exited") {
			t.Errorf("the updater was torn apart: %s", e.message)
		}
	}
	if begun == 0 || ended == 0 {
		t.Errorf("the updater began %d times and ended %d times before the stop was proven", begun, ended)
	}
	for _, e := range s.nodeJournal("cidx-server.service") {
		if strings.Contains(e.message, serverSpeaks) && e.at.After(from) && e.at.Before(to) {
			t.Errorf("the server was started at %s", e.at)
		}
	}
	s.judge("equal", "-running")
}

// TestRestartSignalAfterwards: the updater works as before once the migration is
// over; a restart it was asked for happens, on the cluster.
func TestRestartSignalAfterwards(t *testing.T) {
	longer(t)
	s := scenario(t, 5*time.Minute)
	s.eager()
	s.migrate()
	begun := time.Now()
	s.must(os.WriteFile(s.node.Path(Home+"/restart.signal"), nil, 0o644))
	s.must(await("the restart", 30*time.Second, func() error {
		for _, e := range s.nodeJournal("cidx-server.service") {
			if strings.Contains(e.message, serverSpeaks) && e.at.After(begun) {
				return nil
			}
		}
		return errors.New("it has not happened")
	}))
	s.must(s.node.Healthy(s.ctx, 20*time.Second))
	s.serves(s.node)
	s.judge("equal", "-running")
}
