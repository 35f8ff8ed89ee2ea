package judge

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Parts of a comparison.
const (
	PartTables  = "tables"
	PartFiles   = "files"
	PartAliases = "aliases"
	PartConfig  = "config"
)

// Parts are all of them.
var Parts = []string{PartTables, PartFiles, PartAliases, PartConfig}

// Comparison says what to compare and what to permit.
type Comparison struct {
	Home, Share, DSN string
	Source           string         // where the SQLite files and secrets lie; Home if empty
	Only             []string       // Parts; all if empty
	Spelling         string         // of paths in PostgreSQL; SpellMount if empty
	Zone             *time.Location // of times without zone in three columns; the host's if nil
	Running          bool           // permit what a running cluster server adds
	Ignore           Ignore
	Except           []string
}

// Equal compares a standalone home with the cluster made of it. An error means
// that something could not be read; differences are in the report.
func Equal(ctx context.Context, c Comparison) (*Report, error) {
	for _, path := range []*string{&c.Home, &c.Share} { // paths in the data are absolute
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return nil, fmt.Errorf("resolve %s: %w", *path, err)
		}
		*path = absolute
	}
	l, err := findLayout(c.Home, c.Share)
	if err != nil {
		return nil, err
	}
	r := NewReport(c.Except)
	wants := func(part string) bool { return len(c.Only) == 0 || slices.Contains(c.Only, part) }
	if wants(PartTables) {
		if err := judgeTables(ctx, c, l, r); err != nil {
			return r, err
		}
	}
	aliases, err := l.aliasFiles()
	if err != nil {
		return r, err
	}
	if wants(PartFiles) {
		if err := judgeFiles(ctx, c, l, aliases, r); err != nil {
			return r, err
		}
	}
	if wants(PartAliases) {
		if err := judgeAliases(l, aliases, c.Running, r); err != nil {
			return r, err
		}
	}
	if wants(PartConfig) {
		judgeConfig(l, r)
	}
	return r, nil
}

func judgeTables(ctx context.Context, c Comparison, l layout, r *Report) error {
	schema, err := loadSchema()
	if err != nil {
		return err
	}
	db, err := newPsql(c.DSN)
	if err != nil {
		return err
	}
	d := &database{source: c.Source, layout: l, schema: schema, db: db, running: c.Running, report: r,
		compare: &comparer{zone: c.Zone, paths: &pathRule{trees: l.trees, spelling: c.Spelling}}}
	if d.source == "" {
		d.source = l.home
	}
	if d.compare.zone == nil {
		d.compare.zone = time.Local
	}
	return d.judge(ctx)
}

func judgeFiles(ctx context.Context, c Comparison, l layout, aliases map[string]bool, r *Report) error {
	rule := &pathRule{trees: l.trees, spelling: SpellEither}
	var names []string
	for i, t := range l.trees {
		f := &files{tree: t, paths: rule, running: c.Running, ignore: c.Ignore, report: r}
		if i == 0 {
			f.aliases = aliases
		}
		names = append(names, filepath.Base(t.target))
		if err := f.judge(ctx); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(l.share)
	if err != nil {
		return fmt.Errorf("read share: %w", err)
	}
	for _, e := range entries {
		if name := e.Name(); !slices.Contains(names, name) && name != "lost+found" && name != ".snapshot" {
			r.differ("files", "share/"+name, "is no part of the migration")
		}
	}
	return nil
}
