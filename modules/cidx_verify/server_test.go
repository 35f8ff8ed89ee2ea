package verify

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite"

	"cidx-cluster/modules/internal/child"
)

// binaries builds the stand-in server and the maker of homes once. They share
// no code with the modules: what they answer is written from CIDX itself.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "verify-bin-")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir+"/", "cidx-cluster/e2e/cmd/cidx-seed", "cidx-cluster/e2e/cmd/cidx-standin").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build stand-in: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	child.Serve()
	code := m.Run()
	if dir, err := binaries(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

func binary(t *testing.T, name string) string {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// known are the secrets and repositories of a home, as its maker tells them.
type known struct {
	Admin account `json:"admin"`
	MFA   account `json:"mfa"`
	Plain account `json:"normal"`
	Repos []struct {
		Alias, Global string
		FTS           bool
	} `json:"repos"`
}

type account struct {
	User, Password string
	Key            string `json:"api_key"`
	TOTP           string `json:"totp_secret"`
}

// seeded is a standalone home with three repositories and cidx-meta.
func seeded(t *testing.T) (string, known) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "home")
	facts := filepath.Join(t.TempDir(), "facts.json")
	do(t, nil, binary(t, "cidx-seed"), "home", "-home", dir, "-repos", "3", "-rows", "3", "-users", "6", "-files-per-repo", "12", "-snapshots", "1", "-facts", facts)
	raw, err := os.ReadFile(facts)
	if err != nil {
		t.Fatal(err)
	}
	var k known
	if err := json.Unmarshal(raw, &k); err != nil {
		t.Fatal(err)
	}
	return dir, k
}

func do(t *testing.T, env []string, name string, words ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, words...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(words, " "), err, out)
	}
	return string(out)
}

// serve starts the stand-in on a free port and returns its address.
func serve(t *testing.T, dir string, flags ...string) string {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	words := append([]string{"-home", dir, "-quiet", "-listen", address}, flags...)
	cmd := exec.Command(binary(t, "cidx-standin"), words...)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log("stand-in:\n" + log.String())
		}
	})
	return "http://" + address
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// postgres starts a cluster of its own and returns its connection string.
func clusterDatabase(t *testing.T) string {
	t.Helper()
	bin, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bin) == 0 {
		t.Fatal("PostgreSQL is not installed: install the package postgresql")
	}
	dir, err := os.MkdirTemp("", "vpg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	as := func(words ...string) []string { return words }
	if os.Geteuid() == 0 {
		do(t, nil, "chown", "postgres", dir)
		as = func(words ...string) []string {
			return append([]string{"setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"}, words...)
		}
	}
	data, port := filepath.Join(dir, "d"), freePort(t)
	initdb := as(filepath.Join(bin[0], "initdb"), "-D", data, "-U", "cidx", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	do(t, nil, initdb[0], initdb[1:]...)
	start := as(filepath.Join(bin[0], "postgres"), "-D", data, "-p", fmt.Sprint(port), "-k", dir, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
	cmd := exec.Command(start[0], start[1:]...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
	})
	dsn := fmt.Sprintf("postgresql://cidx:unused-password@127.0.0.1:%d/postgres", port)
	ready := as(filepath.Join(bin[0], "psql"), "-q", "-c", "SELECT 1", fmt.Sprintf("host=127.0.0.1 port=%d user=cidx dbname=postgres", port))
	for deadline := 100; ; deadline-- {
		if exec.Command(ready[0], ready[1:]...).Run() == nil {
			return dsn
		}
		if deadline == 0 {
			t.Fatal("PostgreSQL does not start")
		}
	}
}

// cluster makes the home a cluster node's with its registry loaded, the share
// being the folder beside it, and returns the connection string.
func cluster(t *testing.T, dir string) string {
	t.Helper()
	dsn := clusterDatabase(t)
	env := []string{"CIDX_POSTGRES_DSN=" + dsn}
	share := filepath.Join(t.TempDir(), "share")
	must(t, os.MkdirAll(share, 0o755))
	do(t, env, binary(t, "cidx-seed"), "join", "-home", dir, "-share", share, "-node-id", "node-1")
	do(t, env, binary(t, "cidx-standin"), "schema")
	link := filepath.Join(dir, "data", "golden-repos")
	do(t, nil, "cp", "-a", link, filepath.Join(share, "golden-repos"))
	must(t, os.Rename(link, link+".pre-cluster"))
	must(t, os.Symlink(filepath.Join(share, "golden-repos"), link))
	loadRegistry(t, filepath.Join(dir, "data", "cidx_server.db"), dsn)
	return dsn
}

// loadRegistry copies what a start needs to know of the repositories.
func loadRegistry(t *testing.T, from, dsn string) {
	t.Helper()
	source, err := sql.Open("sqlite", "file:"+from+"?mode=ro")
	must(t, err)
	defer source.Close()
	target, err := pgx.Connect(t.Context(), dsn)
	must(t, err)
	defer target.Close(context.Background())
	for table, columns := range map[string][]string{
		"golden_repos_metadata": {"alias", "repo_url", "default_branch", "clone_path", "created_at"},
		"global_repos":          {"alias_name", "repo_name", "index_path", "created_at", "last_refresh"},
	} {
		// last_refresh is an epoch in some rows, which PostgreSQL does not take.
		selected := strings.Replace(strings.Join(columns, ", "), "last_refresh", "created_at", 1)
		rows, err := source.QueryContext(t.Context(), "SELECT "+selected+" FROM "+table)
		must(t, err)
		for rows.Next() {
			values := make([]any, len(columns))
			into := make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			must(t, rows.Scan(into...))
			_, err := target.Exec(t.Context(), fmt.Sprintf("INSERT INTO %s (%s) VALUES ($1, $2, $3, $4, $5)", table, strings.Join(columns, ", ")), values...)
			must(t, err)
		}
		must(t, rows.Err())
		must(t, rows.Close())
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func execute(t *testing.T, dsn, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	must(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), statement)
	must(t, err)
}
