package database

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/pgtest"
	"cidx-cluster/modules/internal/progress"
)

// TestKilledAnywhere kills the helper at random moments. PostgreSQL is then as
// it was, or completely loaded; the next run ends as an undisturbed one.
func TestKilledAnywhere(t *testing.T) {
	const rows, kills = 30000, 12
	f := auditFixture(t, rows)
	before := f.target(t)
	input, _ := json.Marshal(map[string]any{"home": f.home})
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	for range kills {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childVariable+"=1")
		child.Stdin = bytes.NewReader(input)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.IntN(700)) * time.Millisecond) // the moment is what is random
		_ = child.Process.Kill()
		_ = child.Wait()
		f.awaitNobody(t)
		if f.query(t, "SELECT to_regclass('cidx_cluster_migration') IS NOT NULL") == "t" {
			break // it was faster than the kill
		}
		if got := f.target(t); got != before {
			t.Fatalf("after a kill PostgreSQL is\n%s\nwas\n%s", got, before)
		}
	}
	if r := f.run(t, nil); r.Failed {
		t.Fatalf("the run after the kills: %s", r.text())
	}
	f.loaded(t, rows)
}

// awaitNobody waits until the server has noticed that our sessions are gone.
func (f *fixture) awaitNobody(t *testing.T) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if f.query(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = '"+load.Application+"'") == "0" {
			return
		}
		if time.Now().After(until) {
			t.Fatal("a session of a killed helper does not end")
		}
	}
}

// on calls do once, at the first event whose line or status contains text.
func on(text string, do func()) progress.Sink {
	done := false
	return func(e progress.Event) {
		line := ""
		if e.Line != nil {
			line = *e.Line
		}
		if e.Status != nil {
			line = e.Status.What
		}
		if !done && strings.Contains(line, text) {
			done = true
			do()
		}
	}
}

// TestConnectionLost: at whatever statement it happens, it is told once: where,
// what is in PostgreSQL now, and what to do.
func TestConnectionLost(t *testing.T) {
	for name, c := range map[string]struct {
		statement string
		mode      map[string]any
	}{
		"looking at rights":               {"has_sequence_privilege", nil},
		"locking":                         {"LOCK TABLE", nil},
		"looking at rows":                 {`"groups" ORDER BY`, nil},
		"copying":                         {`COPY "public"."audit_logs"`, nil},
		"setting sequences":               {"ALTER SEQUENCE", nil},
		"comparing":                       {`FROM "public"."audit_logs") TO STDOUT`, nil},
		"sealing":                         {"pg_stat_xact", nil},
		"committing":                      {"COMMIT", nil},
		"rehearsal: beginning":            {"BEGIN; SET LOCAL lock_timeout", check(nil)},
		"rehearsal: copying":              {`COPY "public"."audit_logs"`, check(nil)},
		"rehearsal: taking back":          {"ROLLBACK", check(nil)},
		"rehearsal: looking at rights":    {"has_sequence_privilege", check(nil)},
		"rehearsal: looking at rows":      {` FROM "public"."groups" ORDER BY`, check(nil)},
		"rehearsal: looking at sequences": {"seqincrement", check(nil)},
	} {
		for _, how := range []string{"session ended", "network cut"} {
			t.Run(name+", "+how, func(t *testing.T) { loseConnection(t, c.statement, c.mode, how == "network cut") })
		}
	}
}

// loseConnection ends the session, or cuts the network, at a statement.
func loseConnection(t *testing.T, statement string, mode map[string]any, network bool) {
	const rows = 300
	f := auditFixture(t, rows)
	pgtest.Exec(t, f.dsn, "INSERT INTO audit_logs VALUES (1, '2026-01-02T03:04:05.000001+00:00', 'admin1', 'details of event 1')")
	before := f.target(t)
	proxy := pgtest.NewProxy(t, f.dsn)
	f.through(t, proxy.DSN)
	cut := make(chan struct{})
	proxy.When(statement, func() {
		defer close(cut)
		if network {
			proxy.Cut()
			return
		}
		pgtest.Exec(t, f.dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '"+load.Application+"'")
		f.awaitNobody(t) // PostgreSQL 13 does not wait itself
	})
	r := f.run(t, mode)
	<-cut
	state := "nothing was committed"
	if statement == "COMMIT" {
		state = "whether it was committed is not known"
	}
	if !r.Failed || len(r.Problems) != 1 || !strings.Contains(r.Problems[0].At, "postgresql://admin@") || !strings.Contains(r.Problems[0].Fix, "run again") ||
		!strings.Contains(r.Problems[0].What, state) || strings.Contains(r.text(), "conn closed") {
		t.Errorf("told is: %s", r.text())
	}
	f.awaitNobody(t)
	if got := f.target(t); got != before {
		t.Errorf("PostgreSQL has changed:\n%s", got)
	}
	if r := f.run(t, map[string]any{"postgres_dsn": f.dsn}); r.Failed {
		t.Fatalf("the run after: %s", r.text())
	}
	f.loaded(t, rows)
}

func TestInterrupted(t *testing.T) {
	const rows = 3000
	f := auditFixture(t, rows)
	before := f.target(t)
	ctx, cancel := context.WithCancel(context.Background())
	r := f.runContext(t, ctx, nil, on("Migrating groups", cancel))
	if !r.Failed || r.Changed {
		t.Errorf("told is: %s", r.text())
	}
	f.awaitNobody(t)
	if got := f.target(t); got != before {
		t.Errorf("PostgreSQL has changed:\n%s", got)
	}
}

// TestAKilledServersJournal: a writer died in the middle of a transaction, and
// nobody can start the server to clean up. Rehearsal and run roll back in copies
// of their own.
func TestAKilledServersJournal(t *testing.T) {
	f := auditFixture(t, 3000)
	crashed := f.path("killed.db")
	db := f.openSQLite(t, "groups.db", "PRAGMA cache_size=1; BEGIN; UPDATE groups SET name = 'half'||id; UPDATE audit_logs SET details = 'half written, and longer than it was before'")
	for from, to := range map[string]string{"groups.db": "killed.db", "groups.db-journal": "killed.db-journal"} {
		raw, err := os.ReadFile(f.path(from))
		if err != nil {
			t.Fatal(err)
		}
		f.write(t, to, string(raw))
	}
	db.Close()
	for _, suffix := range []string{"", "-journal"} {
		if err := os.Rename(crashed+suffix, f.path("groups.db"+suffix)); err != nil {
			t.Fatal(err)
		}
	}
	for _, suffix := range []string{"", "-journal"} { // what cidx_backup keeps
		raw, err := os.ReadFile(f.path("groups.db" + suffix))
		if err != nil {
			t.Fatal(err)
		}
		f.write(t, ".cluster-migrate/snapshot/groups.db"+suffix, string(raw))
	}
	source, snapshot := f.source(t), f.snapshot(t)
	if r := f.run(t, check(nil)); r.Failed {
		t.Fatalf("rehearsal: %s", r.text())
	}
	if r := f.run(t, nil); r.Failed {
		t.Fatalf("real run: %s", r.text())
	}
	if f.source(t) != source || f.snapshot(t) != snapshot {
		t.Error("the source has changed")
	}
	if got := f.query(t, "SELECT string_agg(name, ',' ORDER BY id), (SELECT count(*) FROM audit_logs WHERE details LIKE 'half%') FROM groups"); got != "admins,staff|0" {
		t.Errorf("PostgreSQL has %s", got)
	}
}
