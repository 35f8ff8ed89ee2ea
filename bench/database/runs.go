package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"cidx-cluster/bench/internal/busy"
)

// small: about 1,000 rows in 40 tables, where everything is start-up and round
// trips.
func (b *bench) small(ctx context.Context) error {
	home, err := b.home(ctx, "small", "-rows", "25", "-events", "25")
	if err != nil {
		return err
	}
	if err := b.snapshot(ctx, home); err != nil {
		return err
	}
	if err := b.checkpoint(ctx, home); err != nil {
		return err
	}
	tables, err := b.filled(ctx, home, 40)
	if err != nil {
		return err
	}
	if tables, err = b.whole(ctx, home, tables); err != nil {
		return err
	}
	for range b.rounds {
		s, err := b.ours(ctx, home, "run")
		if err != nil {
			return err
		}
		b.keep("ours", smallRows, s)
		err = b.measure(ctx, "pgloader", smallRows, func() (sample, error) { return b.pgloader(ctx, home, "peer", tables) })
		if err != nil {
			return err
		}
	}
	return nil
}

// whole leaves out the tables of which pgloader loses rows, in a run that is not measured: we load them nevertheless.
func (b *bench) whole(ctx context.Context, home string, tables []string) ([]string, error) {
	if !b.peer("pgloader") {
		return tables, nil
	}
	if _, err := b.pgloader(ctx, home, "peer", tables); err == nil || ctx.Err() != nil {
		return tables, ctx.Err()
	}
	var all []string
	for _, t := range tables {
		got, err := b.rowsIn(ctx, "peer", []string{t})
		if err != nil {
			return nil, err
		}
		want, err := sourceRows(ctx, filepath.Join(home, "data/cidx_server.db"), []string{t})
		if err != nil {
			return nil, err
		}
		if got == want {
			all = append(all, t)
		}
	}
	say("pgloader loads %d of %d tables without a loss: the small run is about these", len(all), len(tables))
	if len(all) == 0 {
		return tables, nil
	}
	return all, nil
}

// smallRows names the small run; its real number of rows is near it.
const smallRows = 1000

func (b *bench) middleRun(ctx context.Context) error { return b.sized(ctx, "middle", b.middle, false) }

func (b *bench) largeRun(ctx context.Context) error { return b.sized(ctx, "large", b.large, true) }

// sized measures every contender on about rows rows. The slow ones run once.
func (b *bench) sized(ctx context.Context, name string, rows int, all bool) error {
	home, err := b.home(ctx, name, "-rows", "2", "-events", "2")
	if err != nil {
		return err
	}
	if err := b.checkpoint(ctx, home); err != nil {
		return err
	}
	file := filepath.Join(home, "data/cidx_server.db")
	n, err := busy.Fill(ctx, file, rows)
	if err != nil {
		return fmt.Errorf("fill %s: %w", file, err)
	}
	if err := b.snapshot(ctx, home); err != nil {
		return err
	}
	tables := make([]string, len(busy.Mix))
	for i := range busy.Mix {
		tables[i] = busy.Mix[i].Table
	}
	say("%s: %d rows", name, n)
	for round := range b.rounds {
		s, err := b.ours(ctx, home, "run")
		if err != nil {
			return err
		}
		b.keep("ours", rows, s)
		if err := b.peersOf(ctx, home, rows, round, all, tables); err != nil {
			return err
		}
	}
	for round := range b.rounds {
		if err := b.warmPath(ctx, home, rows, round); err != nil {
			return err
		}
	}
	return os.RemoveAll(home)
}

// peersOf measures the peers. That one runs out of memory at a size, as pgloader does now and then, is a result.
func (b *bench) peersOf(ctx context.Context, home string, rows, round int, all bool, tables []string) error {
	if err := b.measure(ctx, "limit", rows, func() (sample, error) { return b.limit(ctx, "run", "bare", tables) }); err != nil {
		return err
	}
	if err := b.measure(ctx, "pgloader", rows, func() (sample, error) { return b.pgloader(ctx, home, "peer", tables) }); err != nil {
		return err
	}
	for name, mode := range map[string]string{"duckdb": "plain", "duckdb-best": "best"} {
		if err := b.measure(ctx, name, rows, func() (sample, error) { return b.duckdb(ctx, home, "peer", mode, tables) }); err != nil {
			return err
		}
	}
	if round > 0 || !all {
		return nil
	}
	return b.measure(ctx, "rowwise", rows, func() (sample, error) { return b.rowwise(ctx, home, "peer", tables) })
}

// filled names up to most tables of the main file that hold rows and whose
// columns PostgreSQL all has: pgloader cannot rename one.
func (b *bench) filled(ctx context.Context, home string, most int) ([]string, error) {
	out, err := b.cluster.psql(ctx, filepath.Base(home),
		"SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public'")
	if err != nil {
		return nil, err
	}
	columns := map[string]bool{}
	for _, name := range strings.Fields(out) {
		columns[name] = true
	}
	return filledTables(ctx, filepath.Join(home, "data/cidx_server.db"), columns, most)
}

// loaded says how many rows, and how many of the template's indexes and constraints, a peer has really left in its
// database: pgloader exits 0 also where it lost some. Rows that are not there make the run a failure.
func (b *bench) loaded(ctx context.Context, database, home string, tables []string) (string, error) {
	got, err := b.rowsIn(ctx, database, tables)
	if err != nil {
		return "", err
	}
	want, err := sourceRows(ctx, filepath.Join(home, "data/cidx_server.db"), tables)
	if err != nil {
		return "", err
	}
	if got != want {
		return "", fmt.Errorf("it has loaded %d of %d rows", got, want)
	}
	made, wanted := b.definitions(ctx, database), b.definitions(ctx, filepath.Base(home))
	return fmt.Sprintf("%d rows, %s of %s indexes and constraints there", got, made, wanted), nil
}

// rowsIn counts the rows of some tables of a database.
func (b *bench) rowsIn(ctx context.Context, database string, tables []string) (n int, err error) {
	out, err := b.cluster.psql(ctx, database, "SELECT "+counted(tables))
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscan(out, &n)
	return n, err
}

// counted is an expression for the number of rows in all of the tables.
func counted(tables []string) string {
	counts := make([]string, len(tables))
	for i, t := range tables {
		counts[i] = fmt.Sprintf("(SELECT count(*) FROM %s)", t)
	}
	return strings.Join(counts, " + ")
}

func (b *bench) definitions(ctx context.Context, database string) string {
	out, err := b.cluster.psql(ctx, database, "SELECT (SELECT count(*) FROM pg_indexes WHERE schemaname = 'public') + "+
		"(SELECT count(*) FROM pg_constraint WHERE connamespace = 'public'::regnamespace)")
	if err != nil {
		return err.Error()
	}
	return out
}
