// Command database measures cidx_database against its peers in one run: the
// same rows into the same schema, on one machine, one after the other.
//
// Peers: pgloader (data only, indexes dropped and rebuilt by it, typed casts),
// DuckDB (INSERT ... SELECT over its SQLite and PostgreSQL extensions; plain, and
// with the secondary indexes dropped and rebuilt by hand), a row-by-row psycopg loader in the vendor's manner (rowwise.py), and the
// physical limit (psql COPY of ready-made binary files into tables without
// indexes, then building the indexes and constraints). Ours includes finding
// every problem first, comparing every value after the load, and the commit;
// the peers compare nothing.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.StringVar(&o.helper, "helper", "build/cidx-helper", "the helper to measure")
	flag.StringVar(&o.seed, "seed", ".build/bin/cidx-seed", "cidx-seed, which makes the home and the schema")
	flag.StringVar(&o.doc, "doc", "docs/benchmarks.md", "where to write the table, between its markers; \"\" for nowhere")
	flag.IntVar(&o.large, "rows", 1_000_000, "rows of the large run")
	flag.IntVar(&o.middle, "middle", 100_000, "rows of the middle run")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of the fast contenders; the best counts")
	flag.StringVar(&o.peers, "peers", "pgloader,duckdb,duckdb-best,rowwise,limit", "which peers to measure")
	flag.Parse()
	if err := run(ctx, o); err != nil {
		log.Fatalf("bench database: %v", err)
	}
}

type options struct {
	helper, seed, doc, peers string
	large, middle, rounds    int
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp(scratch(), "cidx-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // the server runs as another user
		return err
	}
	c, err := startCluster(ctx, filepath.Join(dir, "pg"))
	if err != nil {
		return err
	}
	defer c.stop()
	b := bench{options: o, cluster: c, dir: dir, best: map[string]sample{}}
	b.findPeers(ctx)
	for _, step := range []func(context.Context) error{b.small, b.middleRun, b.largeRun} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return b.report(os.Stdout)
}

// scratch prefers memory: the disk of a shared machine is the largest source
// of noise, and every contender gets the same.
func scratch() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
