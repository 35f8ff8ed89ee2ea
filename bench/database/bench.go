package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"cidx-cluster/bench/internal/peers"
)

// sample is one measured run.
type sample struct {
	seconds float64
	mib     float64 // peak resident memory of the contender's process
	verify  float64 // seconds of it spent comparing; ours only
	note    string
}

// bench holds the best sample per "contender@rows".
type bench struct {
	options
	cluster *cluster
	dir     string
	best    map[string]sample
	missing peers.Unmeasured
}

// home makes a seeded home with its joined configuration and its PostgreSQL
// template database of the same name.
func (b *bench) home(ctx context.Context, name string, seedFlags ...string) (string, error) {
	home := filepath.Join(b.dir, name)
	if _, err := b.cluster.psql(ctx, "postgres", "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	share := filepath.Join(b.dir, name+"-share")
	if err := os.MkdirAll(share, 0o755); err != nil {
		return "", err
	}
	calls := [][]string{
		append([]string{"home", "-home", home, "-repos", "2", "-files-per-repo", "10",
			"-facts", filepath.Join(b.dir, name+".facts")}, seedFlags...),
		{"join", "-home", home, "-share", share, "-node-id", "node-1"},
		{"schema"},
	}
	for _, args := range calls {
		cmd := exec.CommandContext(ctx, b.seed, args...)
		cmd.Env = b.cluster.env(name)
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("cidx-seed %s: %w: %s", args[0], err, out)
		}
	}
	return home, nil
}

// snapshot puts the files where cidx_backup would have put them, so that the
// load alone is measured.
func (b *bench) snapshot(ctx context.Context, home string) error {
	state := filepath.Join(home, ".cluster-migrate", "snapshot")
	for _, rel := range []string{"data/cidx_server.db", "groups.db", "oauth.db", "refresh_tokens.db", "scip_audit.db"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(state, rel)), 0o755); err != nil {
			return err
		}
		for _, suffix := range []string{"", "-wal"} {
			src := filepath.Join(home, rel+suffix)
			if _, err := os.Stat(src); err != nil {
				continue
			}
			if out, err := exec.CommandContext(ctx, "cp", src, filepath.Join(state, rel+suffix)).CombinedOutput(); err != nil {
				return fmt.Errorf("copy %s: %w: %s", rel, err, out)
			}
		}
	}
	return nil
}

// keep records s if it is the fastest of its kind.
func (b *bench) keep(contender string, rows int, s sample) {
	key := fmt.Sprintf("%s@%d", contender, rows)
	say("%-10s %9d rows  %8.2f s  %6.0f MiB  %s", contender, rows, s.seconds, s.mib, s.note)
	if old, ok := b.best[key]; !ok || s.seconds < old.seconds {
		b.best[key] = s
	}
}

func (b *bench) of(contender string, rows int) (sample, bool) {
	s, ok := b.best[fmt.Sprintf("%s@%d", contender, rows)]
	return s, ok
}

// peer says whether a peer is to be measured.
func (b *bench) peer(name string) bool {
	return strings.Contains(b.peers, name) && b.missing.Why(name, "") == ""
}

// findPeers notes the peers that cannot run on this machine.
func (b *bench) findPeers(ctx context.Context) {
	python := func() error {
		if exec.CommandContext(ctx, systemPython, "-c", "import psycopg").Run() != nil {
			return errors.New("psycopg is not installed: build/setup.sh bench installs Debian's python3-psycopg")
		}
		return nil
	}
	for name, lacks := range map[string]error{
		"pgloader": peers.Installed("pgloader", "Debian's pgloader"), "rowwise": python(),
		"limit":  peers.Installed("pg_dump", "Debian's postgresql-client"),
		"duckdb": findDuckDB(ctx), "duckdb-best": findDuckDB(ctx),
	} {
		if lacks != nil && b.peer(name) {
			b.missing.Add(name, "", lacks)
		}
	}
}

// measure runs a peer once; one that fails has a reason instead of a time.
func (b *bench) measure(ctx context.Context, name string, rows int, run func() (sample, error)) error {
	if !b.peer(name) {
		return nil
	}
	s, err := run()
	if err == nil {
		b.keep(name, rows, s)
		return nil
	}
	b.missing.Add(name, sized(rows), err)
	return ctx.Err()
}

func sized(rows int) string { return fmt.Sprintf("%d rows", rows) }

// timed runs cmd and returns its wall time and peak memory. The output is in
// the error only, with the password masked.
func (b *bench) timed(cmd *exec.Cmd) (sample, []byte, error) {
	var out strings.Builder
	cmd.Stdout = &out
	return b.timedTo(cmd, &out)
}

// timedTo is timed for a command whose standard output goes to out already.
func (b *bench) timedTo(cmd *exec.Cmd, out *strings.Builder) (sample, []byte, error) {
	if cmd.Stdout == out {
		cmd.Stderr = out
	}
	begin := time.Now()
	err := cmd.Run()
	s := sample{seconds: time.Since(begin).Seconds(), mib: peak(cmd)}
	if err != nil {
		said := strings.ReplaceAll(out.String(), b.cluster.password, "********")
		err = fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, tail(said, 1500))
	}
	return s, []byte(out.String()), err
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}
