package main

import (
	"context"
	_ "embed"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed duck.py
var duckPy []byte

// duckdbHome is where build/setup.sh bench puts DuckDB and its extensions (PyPI),
// from the repository's root.
const duckdbHome = ".build/duckdb"

// findDuckDB says what DuckDB lacks to be measured.
func findDuckDB(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, systemPython, "-c", "import duckdb, duckdb_extension_sqlite_scanner, duckdb_extension_postgres_scanner")
	cmd.Env = append(os.Environ(), "PYTHONPATH="+duckdbHome)
	if cmd.Run() != nil {
		return errors.New("DuckDB is not installed: build/setup.sh bench installs it and two extensions from PyPI")
	}
	return nil
}

// duckdb loads the tables with DuckDB: mode "plain" leaves the indexes in place,
// "best" drops and rebuilds the secondary ones by hand.
func (b *bench) duckdb(ctx context.Context, home, database, mode string, tables []string) (sample, error) {
	if err := b.cluster.fresh(ctx, database, filepath.Base(home)); err != nil {
		return sample{}, err
	}
	packages, err := filepath.Abs(duckdbHome)
	if err != nil {
		return sample{}, err
	}
	script := filepath.Join(b.dir, "duck.py")
	if err := os.WriteFile(script, duckPy, 0o600); err != nil {
		return sample{}, err
	}
	cmd := exec.CommandContext(ctx, systemPython, append([]string{script, mode, filepath.Join(home, "data/cidx_server.db")}, tables...)...)
	cmd.Env = append(b.cluster.env(database), "DUCKDB="+packages)
	s, _, err := b.timed(cmd)
	if err == nil {
		s.note, err = b.loaded(ctx, database, home, tables)
	}
	return s, err
}
