package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	for range b.rounds {
		s, err := b.ours(ctx, home, "run")
		if err != nil {
			return err
		}
		b.keep("ours", smallRows, s)
		if !b.peer("pgloader") {
			continue
		}
		if s, err = b.pgloader(ctx, home, "peer", tables); err != nil {
			say("pgloader: %v", err)
			continue
		}
		b.keep("pgloader", smallRows, s)
	}
	return nil
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
	n, err := fill(ctx, file, rows)
	if err != nil {
		return fmt.Errorf("fill %s: %w", file, err)
	}
	if err := b.snapshot(ctx, home); err != nil {
		return err
	}
	tables := make([]string, len(mix))
	for i := range mix {
		tables[i] = mix[i].table
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
	return os.RemoveAll(home)
}

func (b *bench) peersOf(ctx context.Context, home string, rows, round int, all bool, tables []string) error {
	if b.peer("limit") {
		s, err := b.limit(ctx, "run", "bare", tables)
		if err != nil {
			return err
		}
		b.keep("limit", rows, s)
	}
	if b.peer("pgloader") {
		// pgloader runs out of heap now and then at this size: that is a
		// result, not a failure of the benchmark.
		if s, err := b.pgloader(ctx, home, "peer", tables); err != nil {
			say("pgloader at %d rows: %v", rows, err)
		} else {
			s.note = b.loaded(ctx, "peer", filepath.Base(home), tables)
			b.keep("pgloader", rows, s)
		}
	}
	if b.peer("rowwise") && round == 0 && all {
		s, err := b.rowwise(ctx, home, "peer", tables)
		if err != nil {
			return err
		}
		b.keep("rowwise", rows, s)
	}
	return nil
}

// filled names up to most tables of the main file that hold rows and whose
// columns PostgreSQL all has: pgloader cannot rename one.
func (b *bench) filled(ctx context.Context, home string, most int) ([]string, error) {
	out, err := b.cluster.psql(ctx, filepath.Base(home), "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public'")
	if err != nil {
		return nil, err
	}
	columns := map[string]bool{}
	for _, name := range strings.Fields(out) {
		columns[name] = true
	}
	return filledTables(ctx, filepath.Join(home, "data/cidx_server.db"), columns, most)
}

// loaded says how many rows, and how many of the template's indexes and
// constraints, a peer has really left in its database: pgloader exits 0 also
// where it lost some.
func (b *bench) loaded(ctx context.Context, database, template string, tables []string) string {
	counts := make([]string, len(tables))
	for i, t := range tables {
		counts[i] = fmt.Sprintf("(SELECT count(*) FROM %s)", t)
	}
	out, err := b.cluster.psql(ctx, database, "SELECT "+strings.Join(counts, " + "))
	if err != nil {
		return err.Error()
	}
	made, wanted := b.definitions(ctx, database), b.definitions(ctx, template)
	return fmt.Sprintf("%s rows, %s of %s indexes and constraints there", out, made, wanted)
}

func (b *bench) definitions(ctx context.Context, database string) string {
	out, err := b.cluster.psql(ctx, database, "SELECT (SELECT count(*) FROM pg_indexes WHERE schemaname = 'public') + (SELECT count(*) FROM pg_constraint WHERE connamespace = 'public'::regnamespace)")
	if err != nil {
		return err.Error()
	}
	return out
}
