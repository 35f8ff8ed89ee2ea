package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cidx-cluster/e2e/internal/procs"
)

// stage is one scenario under way.
type stage struct {
	t     *testing.T
	ctx   context.Context
	lab   *Lab
	node  *Node
	by    *Controller
	last  Played   // the latest playbook
	every []Played // all of them
	own   bool     // the server is a unit of its user's own systemd

	watched func() (byRoot []string, others int) // who had files of the server open so far; ends the watch
}

// scenario begins with a fresh node1 and ends within patience.
func scenario(t *testing.T, patience time.Duration) *stage {
	t.Helper()
	return scenarioOn(t, inMemory, patience)
}

// scenarioOn chooses the share. It waits for a lab: as many scenarios are under
// way at once as there are labs.
func scenarioOn(t *testing.T, kind shareKind, patience time.Duration) *stage {
	t.Helper()
	return scenarioAfter(t, kind, nil, patience)
}

// scenarioAfter does something to node1 before it is joined.
func scenarioAfter(t *testing.T, kind shareKind, first func(context.Context, *Node) error, patience time.Duration) *stage {
	t.Helper()
	if impossible != "" {
		t.Skip("THE LAB IS NOT RUN ON THIS MACHINE: " + impossible)
	}
	t.Parallel()
	l := <-free
	t.Cleanup(func() { free <- l })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	c, err := l.Controller("c1")
	s := &stage{t: t, ctx: ctx, lab: l, node: l.Node1, by: c}
	s.must(err)
	l.kind, l.first = kind, first
	s.must(l.Fresh(ctx))
	s.watched = procs.Watch(ctx, Home, Share)
	t.Cleanup(func() {
		byRoot, _ := s.watched()
		for _, line := range byRoot {
			t.Error("as root:", line)
		}
		if t.Failed() {
			s.explain()
		}
	})
	return s
}

// longer skips scenarios that only `make lab-full` runs.
func longer(t *testing.T) {
	t.Helper()
	if !whole {
		t.Skip("only with LAB=full (make lab-full)")
	}
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// explain shows what somebody needs who looks into a failure.
func (s *stage) explain() {
	s.t.Logf("last transcript:\n%s", tail([]byte(s.last.Transcript), 6000))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if s.node.container != nil {
		log, _ := s.node.Run(ctx, "journalctl", "-n", "40", "--no-pager", "-u", "cidx*", "-u", "user@*")
		s.t.Logf("node's journal:\n%s", log)
	}
	journal, _ := os.ReadFile(s.node.State("journal.jsonl"))
	s.t.Logf("journal of the migration:\n%s", journal)
	if os.Getenv("KEEP") != "" {
		fmt.Fprintf(os.Stderr, "lab: kept for 30 minutes: %s; node1: nsenter -a -t %d\n", s.lab.Dir, s.node.init)
		time.Sleep(30 * time.Minute)
	}
}

// play runs a playbook and wants this exit code.
func (s *stage) play(exit int, args ...string) Played {
	s.t.Helper()
	p, err := s.by.Play(s.ctx, args...)
	s.must(err)
	s.keep(p)
	if p.Exit != exit {
		s.t.Fatalf("%s: exit code %d, want %d", strings.Join(args, " "), p.Exit, exit)
	}
	return p
}

func (s *stage) keep(p Played) {
	s.last = p
	s.every = append(s.every, p)
}

func (s *stage) migrate(args ...string) Played {
	s.t.Helper()
	return s.play(0, append([]string{"cluster-migrate.yml", "-l", "node1"}, args...)...)
}

func (s *stage) rollback(args ...string) Played {
	s.t.Helper()
	return s.play(0, append([]string{"cluster-rollback.yml", "-l", "node1"}, args...)...)
}

// unchanged wants the recap of a run that had nothing to do.
func (s *stage) unchanged(p Played) {
	s.t.Helper()
	if !regexp.MustCompile(`(?m)^node1 +: .*changed=0 .*failures=0`).MatchString(p.Transcript) {
		s.t.Error("the run changed something")
	}
}

func (s *stage) says(p Played, expression string) {
	s.t.Helper()
	if !regexp.MustCompile(expression).MatchString(p.Transcript) {
		s.t.Errorf("the transcript has nothing like %q", expression)
	}
}

// event is a line of the migration's journal.
type event struct {
	Time   time.Time `json:"time"`
	Module string    `json:"module"`
	Event  string    `json:"event"`
}

func (e event) point() string { return e.Module + "." + e.Event }

func (s *stage) journal() []event {
	text, _ := os.ReadFile(s.node.State("journal.jsonl"))
	var events []event
	for line := range bytes.Lines(text) {
		var e event
		if json.Unmarshal(line, &e) == nil {
			events = append(events, e)
		}
	}
	return events
}

// at waits until the journal of a playbook under way holds the event, which it
// must not have held before.
func (s *stage) at(p *Playing, point string, known int) error {
	for {
		if events := s.journal(); len(events) > known && slices.ContainsFunc(events[known:], func(e event) bool { return e.point() == point }) {
			return nil
		}
		select {
		case <-p.done:
			if events := s.journal(); len(events) > known && slices.ContainsFunc(events[known:], func(e event) bool { return e.point() == point }) {
				return nil
			}
			return fmt.Errorf("the playbook ended without %s", point)
		case <-time.After(time.Millisecond):
		}
	}
}

// playAt runs a playbook, does something at a point of its journal, and returns
// how it ended; any exit code will do.
func (s *stage) playAt(point string, do func(*Playing) error, args ...string) Played {
	s.t.Helper()
	known := len(s.journal())
	p, err := s.by.Start(s.ctx, args...)
	s.must(err)
	err = s.at(p, point, known)
	if err == nil {
		err = do(p)
	}
	played, waited := p.Wait()
	s.keep(played)
	s.must(err)
	s.must(waited)
	return played
}

// judge runs cidx-judge inside the node, as root where root may read the share;
// what it finds is an error of the test.
func (s *stage) judge(verb string, args ...string) {
	s.t.Helper()
	words := append([]string{"cidx-judge", verb, "-home", Home, "-share", Share}, args...)
	if s.lab.kind == squashed {
		words = append([]string{"setpriv", "--reuid", "cidx", "--regid", "cidx", "--init-groups", "env", "HOME=/home/cidx"}, words...)
	}
	out, err := s.node.Command(s.ctx, []string{"CIDX_POSTGRES_DSN=" + s.lab.DB.DSN()}, words...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("judge %s: %v\n%s", verb, err, tail(out, 4000))
	}
}

const before = "/var/tmp/before.hash"

// remember hashes node, share and database as they are, with the server
// stopped, so that nothing writes meanwhile.
func (s *stage) remember() {
	s.t.Helper()
	_, err := s.node.Run(s.ctx, "systemctl", "stop", "cidx-server")
	s.must(err)
	s.judge("hash", "-out", before)
}

// exactly as remembered, but for what a cluster leaves on the share and in PostgreSQL.
func (s *stage) asRemembered() {
	s.t.Helper()
	s.judge("same", "-before", before, "-rollback", "-except", "postgres*,share,share/*")
}

// unitState is how systemd sees a unit, without what changes by itself.
type unitState map[string]string

var watched = []string{"cidx-server.service", "cidx-auto-update.service", "cidx-auto-update.timer", "cidx-watchdog.service", "cidx-watchdog.timer"}

func (s *stage) units() unitState {
	s.t.Helper()
	state := unitState{}
	for _, unit := range watched {
		out, err := s.systemctl("show", "-p", "LoadState,UnitFileState,DropInPaths,ConditionResult,NeedDaemonReload,FragmentPath", unit)
		s.must(err)
		active := s.active(unit)
		if strings.HasPrefix(unit, "cidx-auto-update.s") || strings.HasPrefix(unit, "cidx-watchdog.s") {
			active = "by its timer"
			out = regexp.MustCompile(`(?m)^ConditionResult=.*\n`).ReplaceAllString(out, "")
		}
		state[unit] = out + "Active=" + active
	}
	return state
}

func (s *stage) sameUnits(was unitState) {
	s.t.Helper()
	for unit, now := range s.units() {
		if now != was[unit] {
			s.t.Errorf("%s is not as it was:\n%s\nwas:\n%s", unit, now, was[unit])
		}
	}
	left := s.dropIns()
	if len(left) > 0 {
		s.t.Errorf("drop-ins are left: %s", left)
	}
}

// serves wants every repository listed and answering.
func (s *stage) serves(n *Node) {
	s.t.Helper()
	c := n.WithKey(s.lab.Facts.Admin.APIKey)
	listed, err := c.Tool(s.ctx, "list_repositories", map[string]any{})
	s.must(err)
	for _, repo := range s.lab.Facts.Repos {
		if !strings.Contains(listed.Raw, `"`+repo.Global+`"`) {
			s.t.Errorf("%s: %s is not listed", n.Name, repo.Global)
		}
		for _, mode := range []string{"semantic", "fts"} {
			if mode == "fts" && !repo.FTS {
				continue
			}
			if hits, err := c.Search(s.ctx, repo.Global, repo.Word, mode); err != nil || hits == 0 {
				s.t.Errorf("%s: %s search in %s: %d hits, %v", n.Name, mode, repo.Global, hits, err)
			}
		}
	}
}
