package standin

import (
	"bytes"
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const asProgram = "CIDX_STANDIN_TEST_AS_PROGRAM"

// TestMain lets the test binary be the program itself, for what only a process can show, and ends the PostgreSQL
// that the cluster tests share.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		code := Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	code := m.Run()
	postgres.stop()
	os.Exit(code)
}

// ctl runs "cidx-standin ctl" and returns its exit code and output.
func (f *fixture) ctl(verb string, more ...string) (int, string) {
	f.t.Helper()
	f.t.Setenv(asProgram, "1")
	out := &bytes.Buffer{}
	args := append([]string{"ctl", verb, "-home", f.home, "-listen", "127.0.0.1:0", "-write-interval", "2ms"}, more...)
	code := Main(f.t.Context(), args, out, out)
	return code, strings.TrimSpace(out.String())
}

func TestControlFollowsTheServer(t *testing.T) {
	f := standalone(t)
	defer func() { _, _ = f.ctl("stop") }()
	for _, c := range []struct {
		verb string
		code int
		out  string
	}{
		{"status", 3, `^stopped$`},
		{"start", 0, `^started, pid \d+, 127\.0\.0\.1:\d+$`},
		{"start", 0, `^already running, pid \d+$`},
		{"status", 0, `^running, pid \d+$`},
		{"stop", 0, `^stopped, pid \d+$`},
		{"stop", 0, `^stopped$`},
		{"status", 3, `^stopped$`},
	} {
		code, out := f.ctl(c.verb)
		if code != c.code || !regexp.MustCompile(c.out).MatchString(out) {
			t.Errorf("%s: %d %q", c.verb, code, out)
		}
	}
	if raw, err := os.ReadFile(f.path("logs/server.log")); err != nil || !strings.Contains(string(raw), "Storage mode: SQLite (standalone)") {
		t.Errorf("log: %v %s", err, raw)
	}
	if _, err := os.Lstat(f.path("data/cidx_server.db-wal")); !os.IsNotExist(err) {
		t.Errorf("WAL after a clean stop: %v", err)
	}
}

func TestControlTellsWhyAStartFailed(t *testing.T) {
	f := standalone(t)
	f.write("config.json", `{"storage_mode": "sqlite", "cluster": {"node": "x"}}`)
	code, out := f.ctl("start")
	if code != 1 || !strings.Contains(out, `unexpected key "node"`) {
		t.Errorf("%d %q", code, out)
	}
	if code, _ := f.ctl("status"); code != 3 {
		t.Errorf("status: %d", code)
	}
}

func TestAKilledServerLeavesAHotWALAndARunningJob(t *testing.T) {
	f := standalone(t)
	_, out := f.ctl("start")
	pid, err := strconv.Atoi(regexp.MustCompile(`pid (\d+)`).FindStringSubmatch(out + " pid 0")[1])
	must(t, err)
	if pid == 0 {
		t.Fatalf("start: %s", out)
	}
	eventually(t, "the first tick is over", func() bool {
		_, err := os.Stat(f.golden("billing/.git/FETCH_HEAD"))
		return err == nil
	})
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	eventually(t, "home is free", func() bool { return runningPid(f.home) == 0 })
	if code, out := f.ctl("status"); code != 3 {
		t.Errorf("status after the kill: %d %q", code, out)
	}
	for _, name := range []string{"data/cidx_server.db-wal", "groups.db-wal"} {
		if info, err := os.Stat(f.path(name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := f.start()
	row, err := r.store.Row1(t.Context(), "background_jobs",
		"SELECT count(*) AS n FROM background_jobs WHERE job_id LIKE 'standin-%' AND status = 'failed'")
	must(t, err)
	if n := row.Int("n"); n != 1 && n != 2 {
		t.Errorf("%d jobs of the killed server failed at the next start, want 1 or 2", n)
	}
}

func TestStartTakesItsAddressFromTheLaunchFiles(t *testing.T) {
	for name, c := range map[string]struct{ applied, launch, flag, want string }{
		"the flag wins":                          {`{"host":"a","port":1}`, "", "b:2", "b:2"},
		"applied_launch.json before launch.json": {`{"host":"127.0.0.1","port":8090}`, `{"host":"x","port":1}`, "", "127.0.0.1:8090"},
		"launch.json alone":                      {"", `{"host":"0.0.0.0","port":8001}`, "", "0.0.0.0:8001"},
		"no file":                                {"", "", "", "127.0.0.1:8000"},
		"a broken file is passed over":           {"{", `{"port":8002}`, "", "127.0.0.1:8002"},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			for file, text := range map[string]string{"applied_launch.json": c.applied, "launch.json": c.launch} {
				if text != "" {
					must(t, os.WriteFile(filepath.Join(home, file), []byte(text), 0o600))
				}
			}
			if got := listenAddress(home, c.flag); got != c.want {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	f := standalone(t)
	f.write("faults", "lose-repos 2\nnever-healthy\n\nno-embeddings\n")
	with := func(mode string) func(*Options) {
		return func(o *Options) { o.FaultsFile, o.FaultsIn = f.path("faults"), mode }
	}
	r := f.start(with("standalone"))
	if got := r.healthz(); got != "503 unhealthy" {
		t.Errorf("health: %s", got)
	}
	if got := names(r.listed(opsKey)...); got != "billing-global cidx-meta-global portal-global" {
		t.Errorf("listed: %s", got)
	}
	if _, out := r.call("GET", "/api/admin/golden-repos", opsKey, nil); out["total"] != 3.0 {
		t.Errorf("admin list: %v", out["total"])
	}
	if out := r.tool(opsKey, "search_code", map[string]any{"query_text": "billingword", "repository_alias": "billing-global"}); out["success"] != false {
		t.Errorf("semantic search: %v", out)
	}
	r.stop()
	r = f.start(with("cluster"))
	if got := r.healthz(); got != "200 healthy" {
		t.Errorf("faults of the other mode: %s", got)
	}
	r.stop()
	f.write("faults", "fail-start")
	if _, err := f.tryStart(with("")); err == nil || !strings.Contains(err.Error(), "-fail-start") {
		t.Errorf("fail-start: %v", err)
	}
	f.write("faults", "slow-start 300ms")
	began := time.Now()
	f.start(with("")).stop()
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("slow-start took %s", took)
	}
	f.write("faults", "slow-strat 5s")
	if _, err := f.tryStart(with("")); err == nil || !strings.Contains(err.Error(), "slow-strat") {
		t.Errorf("unknown fault: %v", err)
	}
}
