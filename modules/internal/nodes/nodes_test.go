package nodes

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"cidx-cluster/modules/internal/pgtest"
	"cidx-cluster/modules/internal/postgres"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

const table = "CREATE TABLE cluster_nodes (node_id text PRIMARY KEY, status text NOT NULL DEFAULT 'active', last_heartbeat timestamptz)"

func beats(id, status, age string) string {
	return fmt.Sprintf("INSERT INTO cluster_nodes VALUES ('%s', '%s', now() - interval '%s') ON CONFLICT (node_id) DO UPDATE SET status = excluded.status, last_heartbeat = excluded.last_heartbeat", id, status, age)
}

func TestAnotherNodeIsAliveAsCIDXCountsIt(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		sql  []string
		want string // a part of the refusal; "" for none
	}{
		"no table yet":                        {nil, ""},
		"a table of another release":          {[]string{"CREATE TABLE cluster_nodes (node_id text)"}, ""},
		"no node":                             {[]string{table}, ""},
		"our own":                             {[]string{table, beats("node-1", "online", "3 s")}, ""},
		"another one":                         {[]string{table, beats("node-2", "online", "4 s")}, `is online: "node-2" (heartbeat 4 s ago)`},
		"one that is about to be counted out": {[]string{table, beats("node-2", "online", "28 s")}, "node-2"},
		"one that is silent":                  {[]string{table, beats("node-2", "online", "31 s")}, ""},
		"one that was stopped":                {[]string{table, beats("node-2", "offline", "1 s")}, ""},
		"one that never beat":                 {[]string{table, "INSERT INTO cluster_nodes VALUES ('node-2', 'online', NULL)"}, ""},
		"the column's default is not online":  {[]string{table, "INSERT INTO cluster_nodes (node_id, last_heartbeat) VALUES ('node-2', now())"}, ""},
		"two others and our own":              {[]string{table, beats("node-1", "online", "1 s"), beats("node-2", "online", "2 s"), beats("node-3", "online", "3 s")}, `2 other nodes of the cluster are online: "node-2"`},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := pgtest.Database(t)
			pgtest.Exec(t, dsn, c.sql...)
			conn, err := postgres.Connect(ctx, dsn, "test")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(ctx)
			err = Alone(ctx, conn, "node-1", "here")
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestASecondServerUnderOurOwnIDIsFound(t *testing.T) {
	ctx := context.Background()
	dsn := pgtest.Database(t)
	pgtest.Exec(t, dsn, table, beats("node-1", "online", "25 s"))
	conn, err := postgres.Connect(ctx, dsn, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := Twin(ctx, conn, "node-1", "here"); err != nil {
		t.Errorf("the last heartbeat of a killed server: %v", err)
	}
	pgtest.Exec(t, dsn, beats("node-1", "online", "2 s"))
	go func() {
		time.Sleep(1500 * time.Millisecond)
		pgtest.Exec(t, dsn, beats("node-1", "online", "0 s"))
	}()
	if err := Twin(ctx, conn, "node-1", "here"); err == nil || !strings.Contains(err.Error(), "under this node's id") {
		t.Errorf("while it beats: %v", err)
	}
	if err := Twin(ctx, conn, "node-9", "here"); err != nil {
		t.Errorf("without a row: %v", err)
	}
}
