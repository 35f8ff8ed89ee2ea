package precheck

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/hometest"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/pgtest"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/service"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

const apiKey = "cidx_sk_0123456789abcdef"

// stage is a home on which every check passes.
type stage struct {
	hometest.Home
	args   args
	flag   string // exists while the server runs
	api    *httptest.Server
	node   string // node_id that the server tells
	active int    // jobs that the server counts
	real   bool   // the share has to be a mount
}

func newStage(t *testing.T) *stage {
	h := hometest.New(t, pgtest.Database(t))
	for _, table := range []string{"schema_migrations", "users", "groups", "golden_repos_metadata", "global_repos", "activated_repos", "server_config", "oauth_clients"} {
		pgtest.Exec(t, h.DSN, "CREATE TABLE "+table+" (id int)")
	}
	s := &stage{Home: h, flag: filepath.Join(t.TempDir(), "runs")}
	s.api = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.api.Close)
	must(t, os.WriteFile(s.flag, nil, 0o600))
	s.args = args{
		Common: home.Common{Home: h.Dir},
		Args:   service.Args{Manager: service.ByCommand, StartCommand: "true", StopCommand: "true", StatusCommand: "test -e " + s.flag + " || exit 3", Timeout: 5, URL: s.api.URL},
		APIKey: apiKey,
	}
	return s
}

func (s *stage) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Path == "/healthz":
		fmt.Fprint(w, `{"status": "healthy"}`)
	case r.URL.Path == "/docs":
	case r.Header.Get("Authorization") != "Bearer "+apiKey:
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"detail": "Could not validate credentials"}`)
	case r.URL.Path == "/health":
		fmt.Fprintf(w, `{"status": "healthy", "active_jobs": %d}`, s.active)
	case r.URL.Path == "/mcp":
		inner, _ := json.Marshal(map[string]any{"success": true, "server_version": "11.79.0", "node_id": s.node, "health": map[string]string{"status": "healthy"}})
		out, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "result": map[string]any{"content": []any{map[string]string{"type": "text", "text": string(inner)}}}})
		_, _ = w.Write(out)
	default:
		fmt.Fprint(w, `{"golden_repositories": [{"alias": "billing"}, {"alias": "web"}], "total": 2}`)
	}
}

func (s *stage) run(check bool) (ansible.Reply, []string, error) {
	var lines []string
	ctx := progress.With(context.Background(), func(e progress.Event) {
		if e.Line != nil {
			lines = append(lines, *e.Line)
		}
	})
	e := &examiner{args: s.args, check: check, plain: !s.real, control: service.New(s.args.Args, s.args.Common)}
	reply, err := e.run(ctx)
	return reply, lines, err
}

func TestAllIsWell(t *testing.T) {
	s := newStage(t)
	before := hometest.Snapshot(t, s.Dir, s.Share)
	for _, check := range []bool{true, false} {
		reply, lines, err := s.run(check)
		must(t, err)
		want := []string{
			`^  Cluster config: OK \(storage_mode: postgres\)$`,
			`^  NFS mount: OK \(` + s.Share + `, [0-9.]+ [kMGTP]?B free\)$`,
			`^  PostgreSQL: OK \(postgresql://admin@127\.0\.0\.1:\d+/test_\d+\)$`,
			`^  Disk space: OK \(\d+ bytes needed, [0-9.]+ [kMGTP]?B free\)$`,
			`^  Service: OK \(service commands: running at http://127\.0\.0\.1:\d+\)$`,
			`^  API: OK \(http://127\.0\.0\.1:\d+, 2 repositories\)$`,
		}
		if len(lines) != len(want) {
			t.Fatalf("lines:\n%s", strings.Join(lines, "\n"))
		}
		for i := range want {
			if !regexp.MustCompile(want[i]).MatchString(lines[i]) {
				t.Errorf("line %q, want %s", lines[i], want[i])
			}
		}
		if reply.Changed || reply.Data["migrated"] != false || reply.Data["resuming"] != false || reply.Data["layout"] != "real" || len(reply.Checks) != 6 {
			t.Errorf("reply %+v", reply)
		}
		if diff := cmp.Diff(before, hometest.Snapshot(t, s.Dir, s.Share)); diff != "" {
			t.Errorf("check mode %v: changed:\n%s", check, diff)
		}
	}
}

// fault is one thing that is wrong, and what is said of it.
type fault struct {
	spoil func(t *testing.T, s *stage)
	check string // the line that fails
	what  string // of the problem
	at    string // end of the place
	fix   string
}

var faults = map[string]fault{
	"no config.json": {func(t *testing.T, s *stage) { must(t, os.Remove(s.Path("config.json"))) },
		"Cluster config", "no such file", "/config.json", "cidx_home"},
	"invalid JSON in config.json": {func(t *testing.T, s *stage) { s.Write(t, "config.json", "{\n  \"storage_mode\": postgres\n}\n") },
		"Cluster config", "not valid JSON: line 2, column 19", "/config.json", "config.json.bak"},
	"a key twice in config.json": {func(t *testing.T, s *stage) { edit(t, s, `"node_id"`, `"node_id": "other", "node_id"`) },
		"Cluster config", `JSON with the same key twice in one object: "node_id"`, "/config.json", "repair the file"},
	"config.json is a list": {func(t *testing.T, s *stage) { s.Write(t, "config.json", "[]") },
		"Cluster config", "not a JSON object", "/config.json", "cluster-join.sh"},
	"cluster-join has not run": {func(t *testing.T, s *stage) { s.Write(t, "config.json", fmt.Sprintf(hometest.Standalone, s.Dir)) },
		"Cluster config", "this server has no cluster settings", "/config.json", "run cluster-join.sh"},
	"an unknown storage mode": {func(t *testing.T, s *stage) { edit(t, s, `"postgres"`, `"mysql"`) },
		"Cluster config", `storage_mode is "mysql"`, "/config.json", "sqlite and postgres"},
	"an unknown key in cluster": {func(t *testing.T, s *stage) { edit(t, s, `"node_id"`, `"nodeid": 1, "node_id"`) },
		"Cluster config", "cluster.nodeid: unknown key", "/config.json", "remove it"},
	"ontap is a text": {func(t *testing.T, s *stage) { edit(t, s, `"cow_daemon": null`, `"cow_daemon": "no"`) },
		"Cluster config", "cow_daemon: not an object", "/config.json", "object or null"},
	"no node_id": {func(t *testing.T, s *stage) { edit(t, s, `"node_id": "node-1"`, `"sharding_enabled": false`) },
		"Cluster config", "cluster.node_id: missing", "/config.json", "cluster-join.sh"},
	"a backend without its object": {func(t *testing.T, s *stage) { edit(t, s, `"local"`, `"cow-daemon"`) },
		"Cluster config", `clone_backend: "cow-daemon", but there is no object cow_daemon`, "/config.json", "clone_backend"},
	"the mount point is another one": {func(t *testing.T, s *stage) { s.args.Share = s.Share; edit(t, s, s.Share, "/mnt/other") },
		"Cluster config", `ontap.mount_point: "/mnt/other"`, "/config.json", "cidx_share"},
	"a missing database": {func(t *testing.T, s *stage) { must(t, os.Remove(s.Path("data/cidx_server.db"))) },
		"Cluster config", "database file is missing", "/data/cidx_server.db", "restore it"},
	"a missing groups.db": {func(t *testing.T, s *stage) { must(t, os.Remove(s.Path("groups.db"))) },
		"Cluster config", "database file is missing", "/groups.db", "restore it"},
	"a folder where a database should be": {func(t *testing.T, s *stage) {
		must(t, os.Remove(s.Path("oauth.db")))
		must(t, os.Mkdir(s.Path("oauth.db"), 0o700))
	}, "Cluster config", "not a database file but a folder", "/oauth.db", "move it away"},
	"a database that is none": {func(t *testing.T, s *stage) { s.Write(t, "data/cidx_server.db", strings.Repeat("no database", 100)) },
		"Cluster config", "not a SQLite database", "/data/cidx_server.db", "restore"},
	"an alias that is no JSON": {func(t *testing.T, s *stage) {
		s.Write(t, "data/golden-repos/aliases/web-global.json", `{"target_path": "/x"`)
	},
		"Cluster config", "not valid JSON: line 1, column 21", "/aliases/web-global.json", "restore the alias file"},
	"an alias that names its target twice": {func(t *testing.T, s *stage) {
		s.Write(t, "data/golden-repos/aliases/web-global.json", `{"target_path": "/x", "target_path": "/y"}`)
	},
		"Cluster config", `JSON with the same key twice in one object: "target_path"`, "/aliases/web-global.json", "restore the alias file"},
	"a file where the folder of repositories should be": {func(t *testing.T, s *stage) {
		must(t, os.RemoveAll(s.Path("data/golden-repos")))
		s.Write(t, "data/golden-repos", "")
	}, "Cluster config", "a file where a folder should be", "/data/golden-repos", "restore the folder"},
	"no repositories at all": {func(t *testing.T, s *stage) { must(t, os.RemoveAll(s.Path("data/golden-repos"))) },
		"Cluster config", "no golden repositories", "/data/golden-repos", "cidx_home"},
	"a repository without files": {func(t *testing.T, s *stage) { must(t, os.RemoveAll(s.Path("data/golden-repos/web"))) },
		"Cluster config", "repository web is registered, but has no files", "/data/golden-repos/web", "restore its folder"},
	"data of an old release": {func(t *testing.T, s *stage) { s.Write(t, "users.json", `{"ann": {}}`) },
		"Cluster config", "not in SQLite yet", "/users.json", "start the standalone server once"},
	"links without a journal": {func(t *testing.T, s *stage) { link(t, s) },
		"Cluster config", "knows of no migration", "/.cidx-server", "put the state folder back"},
	"rolled back by hand": {func(t *testing.T, s *stage) {
		migrated(t, s)
		must(t, os.WriteFile(s.Path("config.json"), fmt.Appendf(nil, hometest.Standalone, s.Dir), 0o600))
		s.Write(t, ".cluster-migrate/config.json.cluster", fmt.Sprintf(hometest.Cluster, s.Dir, s.DSN, s.Share))
	}, "Cluster config", "rolled back by hand", "/.cidx-server", "cluster-rollback.yml"},
	"a link is gone": {func(t *testing.T, s *stage) {
		migrated(t, s)
		must(t, os.Remove(s.Path("data/activated-repos")))
		must(t, os.Mkdir(s.Path("data/activated-repos"), 0o700))
		must(t, os.RemoveAll(s.Path("data/activated-repos")))
	}, "Cluster config", "no link to the share any more", "/.cidx-server", "cluster-rollback.yml"},
	"a rollback was interrupted": {func(t *testing.T, s *stage) { note(t, s, home.ConfigBegun, home.ToStandalone) },
		"Cluster config", "a rollback was interrupted", "/.cidx-server", "cluster-rollback.yml"},
	"a plain folder as share": {func(_ *testing.T, s *stage) { s.real = true },
		"NFS mount", "not a mount point", "/share", "mount the shared storage"},
	"a wrong host": {func(t *testing.T, s *stage) { edit(t, s, "127.0.0.1", "no-such-host.invalid") },
		"PostgreSQL", "no-such-host.invalid", "/test_", "correct the host"},
	"a wrong password": {func(_ *testing.T, s *stage) {
		s.args.DSN = strings.Replace(s.DSN, pgtest.Password, "falsches-Passwort", 1)
	},
		"PostgreSQL", "password authentication failed", "/test_", "cidx_postgres_dsn"},
	"no schema": {func(t *testing.T, s *stage) { s.args.DSN = pgtest.Database(t) },
		"PostgreSQL", "CIDX's schema is missing", "/test_", "cidx_schema_command"},
	"too little space": {func(_ *testing.T, s *stage) { s.args.FreePercent = 100 },
		"Disk space", "not enough space", "/share", "enlarge the share"},
	"a status command that is wrong": {func(_ *testing.T, s *stage) { s.args.StatusCommand = "exit 1" },
		"Service", "neither 0 (running) nor 3 (stopped)", "service_status_command", "correct cidx_service_status_command"},
	"a server that was started by hand": {func(t *testing.T, s *stage) {
		must(t, os.Remove(s.flag))
		s.Write(t, "server.pid", fmt.Sprint(os.Getpid()))
	}, "Service", "a server runs, but not under service commands", "/server.pid", "cidx server stop"},
	"an address that is none": {func(_ *testing.T, s *stage) { s.args.URL = "localhost:8000" },
		"Service", "not an http address", "cidx_url", "http://"},
	"no credentials": {func(_ *testing.T, s *stage) { s.args.APIKey = "" },
		"API", "no credentials for the API", "http://", "cidx_api_key"},
	"wrong credentials": {func(_ *testing.T, s *stage) { s.args.APIKey = "cidx_sk_wrong-Key" },
		"API", "401", "/api/admin/golden-repos", "cidx_api_key"},
	"a server that was restarted after cluster-join.sh": {func(t *testing.T, s *stage) {
		s.args.APIKey = "cidx_sk_of-a-user-in-SQLite"
		pgtest.Exec(t, s.DSN, "CREATE TABLE cluster_nodes (node_id text, last_heartbeat timestamptz)", "INSERT INTO cluster_nodes VALUES ('node-7', now()), ('node-8', now() - interval '1 day')")
	},
		"API", "runs in cluster mode already (node node-7)", "http://", "stop it, then run again"},
	"nobody answers": {func(_ *testing.T, s *stage) { s.args.URL = "http://127.0.0.1:1" },
		"API", "connection refused", ":1/healthz", "cidx_url"},
}

func TestEachFaultIsNamedAloneAndNothingIsChanged(t *testing.T) {
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			f.spoil(t, s)
			before := hometest.Snapshot(t, s.Dir, s.Share)
			reply, lines, err := s.run(false)
			if err == nil {
				t.Fatalf("passed:\n%s", strings.Join(lines, "\n"))
			}
			found := slices.ContainsFunc(problem.Of(err), func(p problem.Problem) bool {
				return strings.Contains(p.What, f.what) && strings.Contains(p.At, f.at) && strings.Contains(p.Fix, f.fix)
			})
			if !found {
				t.Errorf("got:\n%v", err)
			}
			if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "  "+f.check+": FAILED (") }) {
				t.Errorf("lines:\n%s", strings.Join(lines, "\n"))
			}
			if len(lines) < 6 || !strings.Contains(reply.Msg, "nothing was changed") {
				t.Errorf("%d checks ran, message %q", len(lines), reply.Msg)
			}
			for _, p := range problem.Of(err) {
				if p.At == "" || p.Fix == "" {
					t.Errorf("no place or no way out: %+v", p)
				}
			}
			text := err.Error() + strings.Join(lines, "\n")
			for _, secret := range []string{pgtest.Password, "falsches-Passwort", apiKey, "wrong-Key", "ontap-Secret"} {
				if strings.Contains(text, secret) {
					t.Error("a secret is shown")
				}
			}
			if diff := cmp.Diff(before, hometest.Snapshot(t, s.Dir, s.Share)); diff != "" {
				t.Errorf("changed:\n%s", diff)
			}
		})
	}
}

func TestAllFaultsAtOnceAreInOneReply(t *testing.T) {
	s := newStage(t)
	together := []string{"no node_id", "an alias that is no JSON", "a missing groups.db", "a plain folder as share", "a wrong password", "a status command that is wrong", "wrong credentials"}
	for _, name := range together {
		faults[name].spoil(t, s)
	}
	s.args.FreePercent = 100
	_, lines, err := s.run(true)
	for _, name := range append(together, "too little space") {
		if err == nil || !strings.Contains(err.Error(), faults[name].what) {
			t.Errorf("%s is not in the reply", name)
		}
	}
	for i, line := range lines {
		if !strings.Contains(line, ": FAILED (") {
			t.Errorf("line %d: %s", i, line)
		}
	}
}

func TestAFolderThatWouldNotBeSharedIsTold(t *testing.T) {
	s := newStage(t)
	must(t, os.RemoveAll(s.Path("data/activated-repos")))
	reply, _, err := s.run(true)
	must(t, err)
	if got := strings.Join(reply.Warnings, "\n"); !strings.Contains(got, "data/activated-repos does not exist: what users activate later") {
		t.Errorf("warnings: %s", got)
	}
}

func TestAPipeAmongTheAliasFilesIsTold(t *testing.T) {
	s := newStage(t)
	must(t, syscall.Mkfifo(s.Path("data/golden-repos/aliases/pipe.json"), 0o600))
	reply, _, err := s.run(true)
	must(t, err)
	if got := strings.Join(reply.Warnings, "\n"); !strings.Contains(got, "aliases/pipe.json is no file: it is no alias, and stays as it is") {
		t.Errorf("warnings: %s", got)
	}
}

func TestJobsThatTheStopWouldInterruptAreTold(t *testing.T) {
	s := newStage(t)
	warned := func() string {
		t.Helper()
		reply, _, err := s.run(true)
		must(t, err)
		return strings.Join(reply.Warnings, "\n")
	}
	s.active = 2
	if got := warned(); !strings.Contains(got, "2 jobs are running (GET /health, active_jobs)") {
		t.Errorf("warnings: %s", got)
	}
	s.HotSQL(t, "data/cidx_server.db",
		"CREATE TABLE background_jobs (job_id TEXT PRIMARY KEY, operation_type TEXT, status TEXT, username TEXT, repo_alias TEXT)",
		"CREATE TABLE sync_jobs (job_id TEXT PRIMARY KEY, status TEXT, username TEXT, job_type TEXT)",
		"INSERT INTO background_jobs VALUES ('1','refresh_golden_repo','running','ann','billing'),('2','provider_index_add','pending','ann',NULL),('3','done','completed','ann','x')",
		"INSERT INTO sync_jobs VALUES ('4','running','bob','repository_sync')")
	const want = "3 jobs have not ended; the stop interrupts what runs, and the cluster gets it as failed: " +
		"refresh_golden_repo billing ann (running), provider_index_add ann (pending), repository_sync bob (running)"
	if got := warned(); !strings.Contains(got, want) {
		t.Errorf("warnings: %s", got)
	}
	must(t, os.Remove(s.flag)) // stopped: what the tables say is old
	if got := warned(); strings.Contains(got, "job") {
		t.Errorf("warnings: %s", got)
	}
}

func TestAMigratedHomeIsTold(t *testing.T) {
	s := newStage(t)
	migrated(t, s)
	s.node = "node-1"
	reply, _, err := s.run(true)
	must(t, err)
	if reply.Data["migrated"] != true || reply.Data["resuming"] != false || len(reply.Warnings) > 0 {
		t.Errorf("reply %+v", reply)
	}
	// Killed after the cut-over: still held.
	must(t, os.WriteFile(s.Path(".cluster-migrate/hold"), nil, 0o600))
	reply, lines, err := s.run(true)
	must(t, err)
	if reply.Data["migrated"] != true || reply.Data["resuming"] != true || !strings.Contains(lines[len(lines)-1], "Earlier run: unfinished (last: cidx_config done") {
		t.Errorf("reply %+v, lines %q", reply, lines)
	}
}

// A journal that cannot be read says nothing: neither that the home was migrated
// nor that it was not.
func TestAJournalThatCannotBeReadIsNoMissingMigration(t *testing.T) {
	s := newStage(t)
	link(t, s)
	s.node = "node-1"
	must(t, os.MkdirAll(s.Path(".cluster-migrate/journal.jsonl"), 0o700))
	reply, _, err := s.run(true)
	if err == nil || !strings.Contains(err.Error(), "journal") {
		t.Errorf("got %v", err)
	}
	for _, text := range append([]string{fmt.Sprint(err)}, reply.Warnings...) {
		if strings.Contains(text, "not migrated") {
			t.Errorf("claims to know: %s", text)
		}
	}
}

// The way back was removed by hand, with its record: the server stays a migrated
// one, and no run stops it.
func TestAMigratedHomeWhoseRecordIsGoneIsTold(t *testing.T) {
	s := newStage(t)
	link(t, s)
	s.node = "node-1"
	s.Write(t, "config.json.pre-cluster", fmt.Sprintf(hometest.Standalone, s.Dir))
	for _, tree := range []string{"golden-repos", "activated-repos"} {
		must(t, os.RemoveAll(s.Path("data", tree)+".pre-cluster"))
	}
	reply, _, err := s.run(true)
	must(t, err)
	if reply.Data["migrated"] != true || reply.Data["resuming"] != false {
		t.Errorf("reply %+v", reply)
	}
	s.Write(t, "config.json", fmt.Sprintf(hometest.Standalone, s.Dir))
	if _, _, err := s.run(true); err == nil || !strings.Contains(err.Error(), "record of their migration is gone") {
		t.Errorf("standalone on the share: %v", err)
	}
}

func TestASecondMigrationTakesTheKeptSettings(t *testing.T) {
	s := newStage(t)
	s.Write(t, "config.json", fmt.Sprintf(hometest.Standalone, s.Dir))
	s.Write(t, ".cluster-migrate/config.json.cluster", fmt.Sprintf(hometest.Cluster, s.Dir, s.DSN, s.Share))
	note(t, s, home.ConfigDone, home.ToStandalone)
	reply, lines, err := s.run(true)
	must(t, err)
	if reply.Data["migrated"] != false || reply.Data["resuming"] != false || !strings.Contains(lines[0], "kept from before the rollback") {
		t.Errorf("lines %q", lines)
	}
}

func TestAServerThatIsClusteredTooEarlyIsAWarning(t *testing.T) {
	s := newStage(t)
	s.node = "node-1"
	reply, _, err := s.run(true)
	must(t, err)
	if len(reply.Warnings) != 1 || !strings.Contains(reply.Warnings[0], "runs in cluster mode already") {
		t.Errorf("warnings %q", reply.Warnings)
	}
}

func TestAFullShare(t *testing.T) {
	s := newStage(t)
	if err := unix.Mount("test", s.Share, "tmpfs", 0, "size=256k,nr_inodes=12"); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(s.Share, unix.MNT_DETACH)) })
	s.real = true
	s.Write(t, "data/golden-repos/web/large", strings.Repeat("x", 300_000))
	_, _, err := s.run(true)
	if err == nil || !strings.Contains(err.Error(), "not enough space: 300.") || !strings.Contains(err.Error(), "not enough inodes") {
		t.Errorf("got %v", err)
	}
	// What an earlier run has copied needs no space any more.
	must(t, os.Remove(s.Path("data/golden-repos/web/large")))
	must(t, unix.Mount("test", s.Share, "tmpfs", unix.MS_REMOUNT, "size=256k,nr_inodes=60"))
	s.Write(t, "data/golden-repos/web/large", strings.Repeat("x", 150_000))
	s.Copy(t)
	if _, lines, err := s.run(true); err != nil {
		t.Errorf("after the copy: %v\n%s", err, strings.Join(lines, "\n"))
	}
}

// link does the cut-over's renames.
func link(t *testing.T, s *stage) {
	s.Copy(t)
	for _, tree := range []string{"golden-repos", "activated-repos"} {
		must(t, os.Rename(s.Path("data", tree), s.Path("data", tree+".pre-cluster")))
		must(t, os.Symlink(filepath.Join(s.Share, tree), s.Path("data", tree)))
	}
}

func migrated(t *testing.T, s *stage) {
	link(t, s)
	note(t, s, home.ConfigBegun, home.ToCluster)
	note(t, s, home.ConfigDone, home.ToCluster)
}

func note(t *testing.T, s *stage, event, state string) {
	must(t, journal.Append(s.Path(".cluster-migrate/journal.jsonl"), home.ConfigModule, event, map[string]any{"state": state}))
}

func edit(t *testing.T, s *stage, old, new string) {
	t.Helper()
	raw, err := os.ReadFile(s.Path("config.json"))
	must(t, err)
	if !strings.Contains(string(raw), old) {
		t.Fatalf("config.json has no %s", old)
	}
	s.Write(t, "config.json", strings.Replace(string(raw), old, new, 1))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAStateFolderWithoutInodes(t *testing.T) {
	s := newStage(t)
	state := t.TempDir()
	if err := unix.Mount("test", state, "tmpfs", 0, "size=256m,nr_inodes=100"); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(state, unix.MNT_DETACH)) })
	s.args.StateDir = state
	if _, _, err := s.run(true); err == nil || !strings.Contains(err.Error(), "not enough inodes for what is kept for a rollback: 20") || !strings.Contains(err.Error(), "cidx_state_dir") {
		t.Errorf("got %v", err)
	}
	must(t, unix.Mount("test", state, "tmpfs", unix.MS_REMOUNT, "size=256m,nr_inodes=1000"))
	if _, _, err := s.run(true); err != nil {
		t.Error(err)
	}
}

// TestTheStateFolderTakesTheCopiesOfBothLoads: those of the load before the stop
// must leave room for those after it, which are made while the server is down.
func TestTheStateFolderTakesTheCopiesOfBothLoads(t *testing.T) {
	s := newStage(t)
	room, err := roomOf(s.Dir)
	must(t, err)
	must(t, os.Truncate(s.Path("data/cidx_server.db"), room.bytesFree*6/10))
	e := &examiner{args: s.args}
	if problems, _, err := e.snapshots(); err != nil || len(problems) != 1 {
		t.Errorf("twice six tenths of what is free: %v, %v", problems, err)
	}
	must(t, os.MkdirAll(s.Path(".cluster-migrate/warm/0f1e"), 0o700))
	if problems, _, err := e.snapshots(); err != nil || len(problems) != 0 {
		t.Errorf("with the first of them there: %v, %v", problems, err)
	}
}
