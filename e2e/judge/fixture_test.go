package judge

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cidx-cluster/e2e/pgtest"

	"github.com/jackc/pgx/v5"
)

var (
	cluster pgtest.Cluster
	seedBin string
)

// TestMain builds cidx-seed: the judge makes its homes with the program, so that it shares no code with the seed.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "judge-test-")
	if err != nil {
		panic(err)
	}
	seedBin = filepath.Join(dir, "cidx-seed")
	if out, err := exec.Command("go", "build", "-o", seedBin, "cidx-cluster/e2e/cmd/cidx-seed").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build cidx-seed: %v: %s", err, out)
		os.Exit(1)
	}
	code := pgtest.Run(m, &cluster)
	os.RemoveAll(dir)
	os.Exit(code)
}

const zoneName = "America/New_York"

// fixture is a standalone home and a cluster made of it by the reference
// migration of reference_test.go.
type fixture struct {
	t          *testing.T
	home       string
	share      string
	dsn        string
	layout     string
	golden     string // in CIDX's spelling
	zone       *time.Location
	comparison Comparison
	copies     map[string]*sql.DB
}

func newFixture(t *testing.T, layout string, more ...string) *fixture {
	t.Helper()
	zone, err := time.LoadLocation(zoneName)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f := &fixture{t: t, home: filepath.Join(dir, "home"), share: filepath.Join(dir, "share"), dsn: cluster.Database(t), layout: layout, zone: zone,
		copies: map[string]*sql.DB{}}
	f.golden = filepath.Join(f.home, "data", "golden-repos")
	if layout == "assumed" {
		f.golden = filepath.Join(f.home, "golden-repos")
	}
	f.seed(append([]string{"home", "-home", f.home, "-layout", layout, "-repos", "9", "-files-per-repo", "14", "-rows", "30"}, more...)...)
	f.seed("schema")
	if err := os.Mkdir(f.share, 0o755); err != nil {
		t.Fatal(err)
	}
	f.comparison = Comparison{Home: f.home, Share: f.share, DSN: f.dsn, Zone: zone}
	return f
}

func (f *fixture) seed(args ...string) {
	f.t.Helper()
	cmd := exec.Command(seedBin, args...)
	cmd.Env = append(os.Environ(), "TZ="+zoneName, "CIDX_POSTGRES_DSN="+f.dsn)
	if out, err := cmd.CombinedOutput(); err != nil {
		f.t.Fatalf("cidx-seed %s: %v: %s", args[0], err, out)
	}
}

// sql runs statements as superuser, without foreign keys.
func (f *fixture) sql(statements ...string) {
	f.t.Helper()
	conn := f.superuser()
	defer conn.Close(context.Background())
	for _, s := range statements {
		tag, err := conn.Exec(context.Background(), s)
		if err != nil {
			f.t.Fatalf("%s: %v", s, err)
		}
		if strings.HasPrefix(s, "UPDATE") && tag.RowsAffected() == 0 {
			f.t.Fatalf("%s: no row", s)
		}
	}
}

func (f *fixture) superuser() *pgx.Conn {
	f.t.Helper()
	conn, err := pgx.Connect(context.Background(), strings.Replace(f.dsn, "//cidx:", "//postgres:", 1))
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := conn.Exec(context.Background(), "SET session_replication_role = replica; SET timezone = 'UTC'"); err != nil {
		f.t.Fatal(err)
	}
	return conn
}

func (f *fixture) shell(script string) {
	f.t.Helper()
	cmd := exec.Command("sh", "-ec", script)
	cmd.Env = append(os.Environ(), "HOME_DIR="+f.home, "SHARE="+f.share, "GOLDEN="+f.golden)
	if out, err := cmd.CombinedOutput(); err != nil {
		f.t.Fatalf("%s: %v: %s", script, err, out)
	}
}

func (f *fixture) equal() *Report {
	f.t.Helper()
	r, err := Equal(context.Background(), f.comparison)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

func (f *fixture) take() State {
	f.t.Helper()
	s, err := Take(context.Background(), Place{Home: f.home, Share: f.share, DSN: f.dsn})
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// wantNames wants differences of exactly these names.
func wantNames(t *testing.T, r *Report, names ...string) {
	t.Helper()
	missing := map[string]bool{}
	for _, n := range names {
		missing[n] = true
	}
	found := map[string]bool{}
	for _, d := range r.Differences {
		if !missing[d.Name] && !found[d.Name] {
			t.Errorf("unexpected difference: %s %s: %s", d.Category, d.Name, d.What)
		}
		delete(missing, d.Name)
		found[d.Name] = true
	}
	for n := range missing {
		t.Errorf("not found: %s", n)
	}
}
