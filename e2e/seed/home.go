package seed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Home makes a standalone home and answers what a test must know of it. The
// folder must be empty or absent; on an error it is left as far as it got.
func Home(ctx context.Context, o Options) (Facts, error) {
	if err := o.check(); err != nil {
		return Facts{}, err
	}
	if found, err := os.ReadDir(o.Home); err == nil && len(found) > 0 {
		return Facts{}, fmt.Errorf("make home: %s: not empty", o.Home)
	}
	w := newWorld(o)
	if err := os.MkdirAll(filepath.Join(o.Home, "data"), 0o700); err != nil {
		return Facts{}, fmt.Errorf("make home: %w", err)
	}
	if err := os.MkdirAll(w.place.aliases, 0o755); err != nil {
		return Facts{}, fmt.Errorf("make home: %w", err)
	}
	var tables map[string]map[string]int
	err := together(
		func() (err error) { tables, err = w.makeDatabases(ctx); return err },
		func() error { return w.makeFiles(ctx) },
	)
	if err != nil {
		return Facts{}, err
	}
	return w.facts(tables), nil
}

func (w *world) makeFiles(ctx context.Context) error {
	template, err := temporalDatabase(ctx, w)
	if err != nil {
		return err
	}
	if err := w.makeRepositories(ctx, template); err != nil {
		return err
	}
	steps := []func() error{
		w.makeTreeRest, w.makeAliases, func() error { return w.makeActivated(ctx) },
		w.makeHazards, w.makeConfig, func() error { return w.secrets.write(w.Home) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// makeDatabases makes every SQLite file and answers file -> table -> rows.
func (w *world) makeDatabases(ctx context.Context) (map[string]map[string]int, error) {
	schema, err := Schema()
	if err != nil {
		return nil, err
	}
	key, err := tokenKey(w.secrets.salt)
	if err != nil {
		return nil, err
	}
	counts := map[string]map[string]int{}
	var guard sync.Mutex
	var tasks []func() error
	for _, d := range databases(schema) {
		tasks = append(tasks, func() error {
			rows, err := d.make(ctx, w, key)
			guard.Lock()
			defer guard.Unlock()
			counts[d.file] = rows
			return err
		})
	}
	return counts, together(tasks...)
}

// together runs the tasks at the same time and answers the first error in their order.
func together(tasks ...func() error) error {
	errs := make([]error, len(tasks))
	var done sync.WaitGroup
	for i, task := range tasks {
		done.Go(func() { errs[i] = task() })
	}
	done.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
