package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestKilledLoads kills the load of the databases with signal 9 at random
// moments. PostgreSQL has to be as it was after each kill, and the judge has to
// find every value in it after the next run, every time. KILLS in the environment
// says how often (default 1), ROWS how many rows are loaded (default 4000); a
// further SEED repeats a run.
func TestKilledLoads(t *testing.T) {
	l := newLoads(t)
	for range l.wanted {
		l.round()
	}
	t.Logf("%d of %d killed loads left PostgreSQL as it was and were finished by the next run: every value compared", l.wanted, l.wanted)
}

// loads is one series of killed loads of one stopped server's databases.
type loads struct {
	*kills
	took time.Duration // an undisturbed load
}

func newLoads(t *testing.T) *loads {
	l := &loads{kills: newKills(t, numberOf(t, "KILLS", 1), 2)}
	o := l.options()
	o.Seed.Repos, o.Seed.Events, o.Seed.FilesPerRepo = 2, numberOf(t, "ROWS", 4000)/4, 10
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	l.up(ctx, o)
	l.helper("cidx_backup", map[string]any{"state": "taken"})
	l.postgres("CREATE DATABASE fresh TEMPLATE cidx")
	l.took = l.load()
	return l
}

// round kills one load and lets the next run finish it.
func (l *loads) round() {
	l.t.Helper()
	before := filepath.Join(l.st.work, "before.hash")
	for range 20 { // a run that was faster than its killer does not count
		l.postgres("DROP DATABASE cidx", "CREATE DATABASE cidx TEMPLATE fresh OWNER cidx")
		l.judge("hash", "-out", before)
		after := time.Duration(l.random.Int64N(int64(l.took)))
		if !l.killLoad(after) {
			continue
		}
		if found := l.judged("same", "-before", before, "-except", "home/.cluster-migrate"); found != nil {
			// All or nothing: the kill may have come just after the commit.
			if l.judged("equal", "-share", l.st.box.Share, "-only", "tables") != nil {
				l.do(found)
			}
			l.t.Logf("killed after %4d ms: the load had just been committed, complete", after.Milliseconds())
			continue
		}
		again := l.load()
		l.judge("equal", "-share", l.st.box.Share, "-only", "tables")
		l.t.Logf("killed after %4d ms of about %4d: PostgreSQL as before; the next run took %4d ms: equal", after.Milliseconds(), l.took.Milliseconds(), again.Milliseconds())
		return
	}
	l.t.Fatal("20 loads ended before they could be killed")
}

// helper calls a module undisturbed and says how long it took.
func (l *loads) helper(module string, arguments map[string]any) time.Duration {
	l.t.Helper()
	took, err := l.call(5*time.Minute, module, arguments)
	if err != nil {
		l.t.Fatalf("%s: %v", module, err)
	}
	return took
}

func (l *loads) load() time.Duration {
	l.t.Helper()
	return l.helper("cidx_database", nil)
}

// killLoad loads until after, and waits until PostgreSQL has noticed; killed is
// false if the load was faster.
func (l *loads) killLoad(after time.Duration) (killed bool) {
	l.t.Helper()
	if !l.kill("the load", after, "cidx_database", nil) {
		return false
	}
	const others = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'cidx'"
	for until := time.Now().Add(30 * time.Second); l.postgres(others) != "0"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			l.t.Fatal("a session of the killed load does not end")
		}
	}
	return true
}

// postgres runs statements as the cluster's superuser and returns the answer to
// the last one.
func (l *loads) postgres(statements ...string) (answer string) {
	l.t.Helper()
	p := l.st.box.Postgres
	config, err := pgx.ParseConfig(fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable", p.Port))
	l.do(err)
	config.Password = p.AdminPassword
	conn, err := pgx.ConnectConfig(l.t.Context(), config)
	l.do(err)
	defer conn.Close(l.t.Context())
	for _, sql := range statements {
		rows, err := conn.Query(l.t.Context(), sql)
		l.do(err)
		for rows.Next() {
			values, err := rows.Values()
			l.do(err)
			answer = fmt.Sprint(values...)
		}
		l.do(rows.Err())
	}
	return answer
}

// judge asks cidx-judge; any difference fails the test.
func (l *loads) judge(verb string, flags ...string) {
	l.t.Helper()
	l.do(l.judged(verb, flags...))
}

func (l *loads) judged(verb string, flags ...string) error {
	return l.kills.judged(5*time.Minute, []string{"CIDX_POSTGRES_DSN=" + l.st.box.Postgres.DSN()}, verb, flags...)
}
