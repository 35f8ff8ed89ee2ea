package lab

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"cidx-cluster/e2e/internal/newest"
)

// TestMigratedRepeatedAndRolledBack is the night as it should be, through SSH as
// an ordinary user with sudo; then the same command again, and the way back.
func TestMigratedRepeatedAndRolledBack(t *testing.T) {
	s := scenario(t, 8*time.Minute)
	was := s.units()
	s.remember()
	s.migrate("--check", "--diff")
	s.judge("same", "-before", before)

	s.says(s.migrate(), `Migration complete!`)
	s.downtimeWasForecast()
	s.passedEveryPoint(0, points)
	s.judge("equal", "-running")
	s.must(s.node.Healthy(s.ctx, 10*time.Second))
	s.serves(s.node)
	s.sameUnits(was)
	s.unchanged(s.migrate())
	known := len(s.journal())
	if _, err := os.Stat(filepath.Join(s.by.Reports(), "node1", "latest", "report.json")); err != nil {
		t.Error(err)
	}

	// The server cannot start: so nothing has written yet when the rollback is judged.
	program := filepath.Join(s.node.root(), "usr/local/bin/cidx-standin")
	s.must(os.Rename(program, program+".away"))
	s.play(2, "cluster-rollback.yml", "-l", "node1", "-e", "cidx_service_timeout=5")
	s.asRemembered()
	s.must(os.Rename(program+".away", program))
	s.says(s.rollback(), `Rollback complete!`)
	s.must(s.node.Healthy(s.ctx, 10*time.Second))
	s.serves(s.node)
	s.sameUnits(was)
	s.passedEveryPoint(known, backPoints)
	s.unchanged(s.rollback())

	s.migrate()
	s.judge("equal", "-running")
	if _, others := s.watched(); others < 5 {
		t.Errorf("only %d processes of the server's user were seen at work", others)
	}
}

// downtimeWasForecast wants the fact inside the forecast, with earlier starts and
// stops from the unit's own journal.
func (s *stage) downtimeWasForecast() {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.by.Reports(), "node1", "latest", "report.json"))
	s.must(err)
	fact, forecast := gjson.GetBytes(raw, "downtime.seconds").Float(), gjson.GetBytes(raw, "forecast.downtime")
	if least, most := forecast.Get("least_seconds").Float(), forecast.Get("most_seconds").Float(); fact < least || fact > most || most == 0 {
		s.t.Errorf("downtime %.1f s, forecast %s", fact, forecast.Raw)
	}
	if forecast.Get(`parts.#(what=="the server's start")`).Raw == "" {
		s.t.Errorf("no earlier start is known: %s", forecast.Raw)
	}
}

// passedEveryPoint wants the journal, after its first known entries, to have the
// points at which the faults strike, and no others.
func (s *stage) passedEveryPoint(known int, points []string) {
	s.t.Helper()
	var passed []string
	for _, e := range s.journal()[known:] {
		if !slices.Contains(passed, e.point()) && e.point() != "cidx_report.failed" { // of the rollback that was made to fail
			passed = append(passed, e.point())
		}
	}
	if diff := cmp.Diff(points, passed); diff != "" {
		s.t.Errorf("points of the journal:\n%s", diff)
	}
}

// TestMigratedWhileSudoWarns: sudo prints a warning before every answer, as on a
// host that cannot resolve its own name.
func TestMigratedWhileSudoWarns(t *testing.T) {
	longer(t)
	s := scenario(t, 4*time.Minute)
	_, err := s.node.Run(s.ctx, "hostname", "renamed")
	s.must(err)
	s.migrate()
	s.judge("equal", "-running")
}

// TestMigratedByNewestAnsible: the newest ansible-core that this machine's Python can run.
func TestMigratedByNewestAnsible(t *testing.T) {
	longer(t)
	s := scenario(t, 6*time.Minute)
	bin, err := newest.Ansible(s.ctx, filepath.Join(s.lab.repo, ".build", "cache"))
	s.must(err)
	s.by.Bin = bin
	s.migrate("--check", "--diff")
	s.migrate()
	s.judge("equal", "-running")
	s.unchanged(s.migrate())
	s.rollback()
	s.serves(s.node)
}

// TestSecondNodeJoins: a server on which cluster-join.sh was run becomes a node by
// the playbook, sees what node1 sees, and is taken out again.
func TestSecondNodeJoins(t *testing.T) {
	s := scenario(t, 6*time.Minute)
	s.migrate()
	two := s.joinSecond()
	s.says(s.play(0, "cluster-node.yml", "-l", "node2"), `(?m)^node2 +: .*changed=[1-9].* failures=0`)
	s.must(two.Healthy(s.ctx, 30*time.Second))
	s.serves(two)
	s.sameLogins(s.node, two)
	online, err := s.lab.DB.Query(s.ctx, "SELECT string_agg(node_id, ',' ORDER BY node_id) FROM cluster_nodes WHERE status = 'online'")
	s.must(err)
	if online != "node-1,node-2" {
		t.Errorf("online: %s", online)
	}
	s.judge("equal", "-running")
	s.says(s.play(0, "cluster-node.yml", "-l", "node2"), `(?m)^node2 +: .*changed=0.* failures=0`)
	verified := s.play(0, "cluster-verify.yml")
	s.unchanged(verified)
	s.says(verified, `(?m)^node2 +: .*changed=0.* failures=0`)

	s.play(0, "cluster-node.yml", "-l", "node2", "-e", "cidx_node_state=absent")
	if state, err := two.Unit(s.ctx, "cidx-server"); err != nil || state != "inactive" {
		t.Errorf("node2's server is %s: %v", state, err)
	}
	s.serves(s.node)
}

// joinSecond makes node2 what an operator has before the playbook: CIDX installed,
// and cluster-join.sh run.
func (s *stage) joinSecond() *Node {
	s.t.Helper()
	two := s.lab.Node2
	s.must(two.Create(s.ctx))
	s.must(two.Boot(s.ctx))
	s.must(errors.Join(
		os.MkdirAll(two.Path(Home), 0o700),
		os.WriteFile(two.Path(Home+"/config.json"), []byte(`{"server_dir": "`+Home+`", "storage_mode": "sqlite"}`), 0o600),
	))
	_, err := two.Run(s.ctx, "chown", "-Rh", "cidx:cidx", "/home/cidx")
	s.must(err)
	s.must(two.Join(s.ctx, "node-2"))
	return two
}

// sameLogins wants second factor, password and API key to be good for each node.
func (s *stage) sameLogins(nodes ...*Node) {
	s.t.Helper()
	facts := s.lab.Facts
	for i, n := range nodes {
		account := facts.MFA
		if i == 0 { // a TOTP code works once, on whichever node: the first takes a recovery code
			account.TOTPSecret = ""
		}
		c, err := n.Login(s.ctx, account)
		s.must(err)
		if _, err := c.Tool(s.ctx, "list_repositories", map[string]any{}); err != nil {
			s.t.Errorf("%s: %v", n.Name, err)
		}
		if _, err := n.Login(s.ctx, facts.Normal); err != nil {
			s.t.Errorf("%s: %v", n.Name, err)
		}
		if _, err := n.WithKey(facts.Normal.APIKey).Tool(s.ctx, "list_repositories", map[string]any{}); err != nil {
			s.t.Errorf("%s: %v", n.Name, err)
		}
	}
}

// TestRolledBackByHand: no controller at all; the three commands that the failed
// run has printed bring the standalone server back, hold or no hold.
func TestRolledBackByHand(t *testing.T) {
	longer(t)
	s := scenario(t, 6*time.Minute)
	s.byHand(`sudo systemctl`)
}

// byHand goes back by the commands that a failed run has printed; systemctl is
// how they call it.
func (s *stage) byHand(systemctl string) {
	s.t.Helper()
	s.playAt(afterLoad, stopped(s), "cluster-migrate.yml", "-l", "node1")
	if s.last.Exit != 2 {
		s.t.Fatalf("exit code %d, want 2", s.last.Exit)
	}
	found := regexp.MustCompile(`(?m)^ +(`+systemctl+` stop .*|cp .*pre-cluster .*|`+systemctl+` start .*)$`).FindAllStringSubmatch(s.last.Transcript, 3)
	if len(found) != 3 {
		s.t.Fatalf("%d commands are printed, want 3", len(found))
	}
	for _, command := range found {
		_, err := s.node.Run(s.ctx, append(s.operator(), "sh", "-c", command[1])...)
		s.must(err)
	}
	s.must(s.node.Healthy(s.ctx, 20*time.Second))
	s.serves(s.node)
	s.must(errors.Join(s.lab.DB.Start(s.ctx), mountShare(s)))
	s.rollback()
	s.migrate()
	s.judge("equal", "-running")
	s.resting(0)
}

// stopped takes PostgreSQL and the share away.
func stopped(s *stage) func(*Playing) error {
	return func(p *Playing) error { return errors.Join(stopDatabase(s, p), unmountShare(s, p)) }
}
