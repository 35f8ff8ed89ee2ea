package home_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/hometest"
	"cidx-cluster/modules/internal/pgtest"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

func TestBothSidesAgreeAndNothingIsWritten(t *testing.T) {
	h := hometest.New(t, pgtest.Database(t))
	cases := map[string]func(){
		"rows in the write-ahead log": func() {},
		"a server that was stopped cleanly: WAL mode, no log": func() {
			h.SQL(t, "data/cidx_server.db", "PRAGMA wal_checkpoint(TRUNCATE)")
			for _, suffix := range []string{"-wal", "-shm"} {
				if _, err := os.Stat(h.Path("data/cidx_server.db") + suffix); err == nil {
					t.Fatalf("%s is still there", suffix)
				}
			}
		},
	}
	for _, name := range []string{"rows in the write-ahead log", "a server that was stopped cleanly: WAL mode, no log"} {
		t.Run(name, func(t *testing.T) {
			cases[name]()
			before := hometest.Snapshot(t, h.Dir)
			r, err := home.Common{Home: h.Dir}.Registry(t.Context())
			if err != nil || len(r.Repos) != 3 || len(r.Globals) != 3 || r.Globals[0] != (home.Global{"billing-global", "billing", h.Path("data/golden-repos/billing")}) {
				t.Errorf("read %+v, %v", r, err)
			}
			if diff := cmp.Diff(before, hometest.Snapshot(t, h.Dir)); diff != "" {
				t.Errorf("reading changed the home:\n%s", diff)
			}
		})
	}
	h.Load(t)
	conn, err := postgres.Connect(context.Background(), h.DSN, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	r, err := home.ClusterRegistry(t.Context(), conn)
	if err != nil || len(r.Repos) != 3 || r.Repos[0].Alias != "billing" || len(r.Globals) != 3 {
		t.Errorf("read %+v, %v", r, err)
	}
}

// TestAnEmptiedDatabaseIsAProblem: with its place and the way out.
func TestAnEmptiedDatabaseIsAProblem(t *testing.T) {
	dir := t.TempDir()
	path := cidx.ServerDatabase(dir)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := home.Common{Home: dir}.Registry(t.Context())
	var p problem.Problem
	if !errors.As(err, &p) || p.At != path || p.Fix == "" {
		t.Errorf("told is: %v", err)
	}
}
