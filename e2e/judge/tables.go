package judge

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const rowsCategory = "rows"

// database compares the SQLite files of source with PostgreSQL.
type database struct {
	source  string // folder with the SQLite files, normally the home
	layout  layout
	schema  map[string]table
	db      *psql
	compare *comparer
	running bool
	report  *Report

	columns map[string]map[string]column // PostgreSQL: table -> column
	scratch string

	guard   sync.Mutex
	highest map[string]int64 // table -> highest id that SQLite ever gave
}

// judge compares every table. Tables are compared two at a time.
func (d *database) judge(ctx context.Context) error {
	scratch, err := os.MkdirTemp("", "cidx-judge-")
	if err != nil {
		return fmt.Errorf("make temporary folder: %w", err)
	}
	defer os.RemoveAll(scratch)
	d.scratch, d.highest = scratch, map[string]int64{}
	if err := d.readCatalog(ctx); err != nil {
		return err
	}
	tasks, err := d.tasks(ctx)
	if err != nil {
		return err
	}
	if err := parallel(ctx, append(tasks, d.judgeActivated, d.judgeSecrets, d.judgeSkipped)); err != nil {
		return err
	}
	return d.judgeSequences(ctx)
}

func parallel(ctx context.Context, tasks []func(context.Context) error) error {
	work := make(chan func(context.Context) error)
	errs := make(chan error, len(tasks))
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for task := range work {
				errs <- task(ctx)
			}
		})
	}
	for _, task := range tasks {
		work <- task
	}
	close(work)
	workers.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// readCatalog reads PostgreSQL's tables and reports those that CIDX does not know.
func (d *database) readCatalog(ctx context.Context) error {
	rows, err := d.db.query(ctx, `SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped`)
	if err != nil {
		return fmt.Errorf("read catalog: %w", err)
	}
	d.columns = map[string]map[string]column{}
	for _, r := range rows {
		if d.columns[r[0]] == nil {
			d.columns[r[0]] = map[string]column{}
		}
		d.columns[r[0]][r[1]] = column{table: r[0], name: r[1], kind: r[2], nullable: r[3] == "f"}
	}
	for name, columns := range d.columns {
		known, is := d.schema[name]
		if name == marker {
			d.report.note("table %s: the migration's own", name)
			continue
		}
		if !is || known.Postgres == nil {
			d.report.differ("schema", "postgres/"+name, "unknown table")
			continue
		}
		for c := range columns {
			if _, is := known.Postgres.Columns[c]; !is {
				d.report.differ("schema", joined("postgres", name, c), "unknown column")
			}
		}
	}
	d.report.checked("schema", len(d.columns))
	return nil
}

// tasks lists a comparison for every copied table of every SQLite file, and
// reports files that are missing and tables that nobody knows.
func (d *database) tasks(ctx context.Context) ([]func(context.Context) error, error) {
	var tasks []func(context.Context) error
	seen := map[string]bool{}
	for _, file := range d.files() {
		path := filepath.Join(d.source, file)
		if _, err := os.Stat(path); err != nil {
			d.report.differ("schema", "sqlite/"+file, "file is missing")
			continue
		}
		source, err := openLite(d.scratch, path)
		if err != nil {
			return nil, err
		}
		tables, err := source.tables(ctx)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		for _, name := range sortedNames(tables) {
			known, is := d.schema[name]
			// CIDX's health probe leaves its scratch table in every database,
			// so only a table whose rows matter is tied to its file.
			if !is || known.copied() && !known.inFile(file) {
				d.report.differ("schema", joined("sqlite", file, name), "unknown table")
				continue
			}
			seen[name] = true
			if known.copied() && name != activatedTable {
				tasks = append(tasks, func(ctx context.Context) error { return d.compareTable(ctx, source, name, tables[name]) })
			}
		}
	}
	for name, t := range d.schema {
		if t.copied() && !seen[name] {
			d.report.note("table %s: not in the source", name)
		}
	}
	return tasks, nil
}

// files are the SQLite files that hold copied tables.
func (d *database) files() []string {
	var files []string
	for _, t := range d.schema {
		if t.copied() && t.Sqlite != nil {
			files = append(files, t.Sqlite.Files...)
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// compareTable merges both sides in key order, so that memory does not grow with rows.
func (d *database) compareTable(ctx context.Context, source *lite, name string, has []string) error {
	plan, err := d.plan(name, has)
	if err != nil || plan == nil {
		return err
	}
	m := newMerge(d, plan)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	left, right := make(chan []liteValue, 256), make(chan []pgValue, 256)
	failed := make(chan error, 2)
	go func() {
		defer close(left)
		failed <- source.stream(ctx, plan.lite(), plan.liteOrder(), func(row []liteValue) error { return send(ctx, left, row) })
	}()
	go func() {
		defer close(right)
		failed <- d.db.stream(ctx, plan.postgres(), func(row []pgValue) error { return send(ctx, right, row) })
	}()
	m.run(left, right)
	for range 2 {
		if err := <-failed; err != nil {
			return fmt.Errorf("compare table %s: %w", name, err)
		}
	}
	d.report.checked(rowsCategory, m.rows)
	return d.highestID(ctx, source, name)
}

func send[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// compareKeys orders keys as both sides sort them: integers by value, text by bytes.
func compareKeys(a, b []string, whole []bool) int {
	for i := range a {
		c := strings.Compare(a[i], b[i])
		if whole[i] {
			x, _ := strconv.ParseInt(a[i], 10, 64)
			y, _ := strconv.ParseInt(b[i], 10, 64)
			c = cmp.Compare(x, y)
		}
		if c != 0 {
			return c
		}
	}
	return 0
}
