package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// peak is the largest resident set of a finished process, in MiB; 0 of one that never ran.
func peak(cmd *exec.Cmd) float64 {
	if cmd.ProcessState == nil {
		return 0
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		return float64(usage.Maxrss) / 1024
	}
	return 0
}

// ours loads a home with the helper and checks its own word for it.
func (b *bench) ours(ctx context.Context, home, database string) (sample, error) {
	if err := b.cluster.fresh(ctx, database, filepath.Base(home)); err != nil {
		return sample{}, err
	}
	s, _, err := b.phase(ctx, home, database, "load")
	return s, err
}

// phase runs one phase of the helper. warm is what its reply tells of the rows
// that were there before the stop.
func (b *bench) phase(ctx context.Context, home, database, phase string) (s sample, warm warmReply, err error) {
	args, err := json.Marshal(map[string]any{
		"home": home, "share": home + "-share", "phase": phase, "postgres_dsn": b.cluster.dsn(database),
	})
	if err != nil {
		return s, warm, err
	}
	cmd := exec.CommandContext(ctx, b.helper, "module", "cidx_database")
	cmd.Stdin = strings.NewReader(string(args))
	cmd.Env = append(os.Environ(), "CIDX_HELPER_DIR="+filepath.Join(b.dir, "helper"))
	var out strings.Builder
	cmd.Stdout = &out
	if s, _, err = b.timedTo(cmd, &out); err != nil {
		return s, warm, err
	}
	var reply struct {
		Warm    warmReply          `json:"warm"`
		Failed  bool               `json:"failed"`
		Changed bool               `json:"changed"`
		Msg     string             `json:"msg"`
		Seconds map[string]float64 `json:"seconds_by_part"`
	}
	if err := json.Unmarshal([]byte(out.String()), &reply); err != nil {
		return s, warm, fmt.Errorf("reply of the helper: %w", err)
	}
	if reply.Failed || !reply.Changed {
		return s, warm, fmt.Errorf("cidx_database: %s", strings.ReplaceAll(reply.Msg, b.cluster.password, "********"))
	}
	s.verify = reply.Seconds["verify"]
	s.note = fmt.Sprint(reply.Seconds)
	return s, reply.Warm, nil
}

// patience is how long pgloader may take: it has been seen to hang after an
// error of its own.
const patience = 10 * time.Minute

// pgloader loads the tables of the SQLite file that hold rows.
func (b *bench) pgloader(ctx context.Context, home, database string, tables []string) (sample, error) {
	if err := b.cluster.fresh(ctx, database, filepath.Base(home)); err != nil {
		return sample{}, err
	}
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = "'" + t + "'"
	}
	script := fmt.Sprintf(`LOAD DATABASE FROM sqlite://%s INTO %s
WITH include no drop, create no tables, drop indexes, reset sequences, workers = 2, concurrency = 1
SET timezone TO 'UTC', maintenance_work_mem TO '256MB'
CAST type real to "double precision" using float-to-string
INCLUDING ONLY TABLE NAMES LIKE %s;
`, filepath.Join(home, "data/cidx_server.db"), strings.Replace(b.cluster.dsn(database), "postgresql:", "pgsql:", 1),
		strings.Join(names, ", "))
	path := filepath.Join(b.dir, "pgloader.load")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		return sample{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "pgloader", "--no-ssl-cert-verification", "--root-dir", filepath.Join(b.dir, "pgloader"), path)
	s, out, err := b.timed(cmd)
	if err == nil && strings.Contains(string(out), "Heap exhausted") {
		err = fmt.Errorf("pgloader: heap exhausted")
	}
	if err == nil {
		s.note, err = b.loaded(ctx, database, home, tables)
	}
	return s, err
}

// systemPython is the one that Debian's python3-psycopg belongs to.
const systemPython = "/usr/bin/python3"

//go:embed rowwise.py
var rowwisePy []byte

// rowwise runs the loader in the vendor's manner.
func (b *bench) rowwise(ctx context.Context, home, database string, tables []string) (sample, error) {
	if err := b.cluster.fresh(ctx, database, filepath.Base(home)); err != nil {
		return sample{}, err
	}
	script := filepath.Join(b.dir, "rowwise.py")
	if err := os.WriteFile(script, rowwisePy, 0o600); err != nil {
		return sample{}, err
	}
	cmd := exec.CommandContext(ctx, systemPython, append([]string{script, filepath.Join(home, "data/cidx_server.db")}, tables...)...)
	cmd.Env = b.cluster.env(database)
	s, _, err := b.timed(cmd)
	if err == nil {
		s.note, err = b.loaded(ctx, database, home, tables)
	}
	return s, err
}

// limit loads ready-made binary files into bare tables, then builds what the
// schema has: nothing that loads this data can be faster on one connection.
func (b *bench) limit(ctx context.Context, database, bare string, tables []string) (sample, error) {
	files := filepath.Join(b.dir, "binary")
	if err := b.dump(ctx, database, files, tables); err != nil {
		return sample{}, err
	}
	if err := b.bare(ctx, database, bare, files); err != nil {
		return sample{}, err
	}
	var script strings.Builder
	script.WriteString("BEGIN; SET maintenance_work_mem = '256MB';\n")
	for _, t := range tables {
		fmt.Fprintf(&script, "\\copy %s FROM '%s/%s' (FORMAT binary)\n", t, files, t)
	}
	fmt.Fprintf(&script, "\\i %s/post.sql\nCOMMIT;\n", files)
	cmd := exec.CommandContext(ctx, "psql", "-XAtq", "-v", "ON_ERROR_STOP=1")
	cmd.Env, cmd.Stdin = b.cluster.env(bare), strings.NewReader(script.String())
	s, _, err := b.timed(cmd)
	return s, err
}

// dump writes one binary COPY file per table, once per database.
func (b *bench) dump(ctx context.Context, database, files string, tables []string) error {
	if err := os.RemoveAll(files); err != nil {
		return err
	}
	if err := os.MkdirAll(files, 0o700); err != nil {
		return err
	}
	var script strings.Builder
	for _, t := range tables {
		fmt.Fprintf(&script, "\\copy %s TO '%s/%s' (FORMAT binary)\n", t, files, t)
	}
	_, err := b.cluster.psql(ctx, database, script.String())
	return err
}

// bare makes a database with the tables of another one and nothing else, and
// writes what is left of its schema to post.sql.
func (b *bench) bare(ctx context.Context, database, bare, files string) error {
	for _, sql := range []string{"DROP DATABASE IF EXISTS " + bare, "CREATE DATABASE " + bare} {
		if _, err := b.cluster.psql(ctx, "postgres", sql); err != nil {
			return err
		}
	}
	for section, file := range map[string]string{"pre-data": "pre.sql", "post-data": "post.sql"} {
		cmd := exec.CommandContext(ctx, "pg_dump", "--section", section, "-f", filepath.Join(files, file))
		cmd.Env = b.cluster.env(database)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("pg_dump: %w: %s", err, out)
		}
	}
	_, err := b.cluster.psql(ctx, bare, "\\i "+filepath.Join(files, "pre.sql")+"\nCHECKPOINT;")
	return err
}
