package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Markers of this benchmark's part of the document.
const (
	begin = "<!-- bench-database: begin -->"
	end   = "<!-- bench-database: end -->"
)

// report prints the table, writes it to the document, and ends with the lines
// RESULT name value, or NOT-MEASURED name reason.
func (b *bench) report(w io.Writer) error {
	table := b.table()
	fmt.Fprintln(w, table)
	if b.doc != "" {
		if err := replace(b.doc, table); err != nil {
			return err
		}
	}
	for _, line := range b.results() {
		fmt.Fprintln(w, line)
	}
	return nil
}

func (b *bench) table() string {
	var t strings.Builder
	fmt.Fprintf(&t, "%s, %d cores, PostgreSQL data in memory-backed storage, fsync on. "+
		"Ours finds every problem first, compares every value and commits; the others compare nothing.\n\n",
		time.Now().UTC().Format("2006-01-02"), runtime.NumCPU())
	t.WriteString("| contender | rows | best wall time | rows/s | peak memory | time / ours |\n|---|---:|---:|---:|---:|---:|\n")
	for _, rows := range []int{smallRows, b.middle, b.large} {
		ours, _ := b.of("ours", rows)
		for _, name := range []string{"ours", "delta", "delta-0", "limit", "pgloader", "duckdb", "duckdb-best", "rowwise"} {
			if s, ok := b.of(name, rows); ok {
				fmt.Fprintf(&t, "| %s | %d | %.2f s | %.0f | %.0f MiB | %.2f |\n",
					name, rows, s.seconds, float64(rows)/s.seconds, s.mib, s.seconds/ours.seconds)
			}
		}
	}
	t.WriteString(b.missing.Notes())
	return t.String()
}

// results are the ratios peer's time / our time, but the limit's: our time / the limit's.
func (b *bench) results() []string {
	var list []string
	ratio := func(name, peer string, rows int) {
		theirs, measured := b.of(peer, rows)
		ours, _ := b.of("ours", rows)
		value := theirs.seconds / ours.seconds
		if peer == "limit" {
			value = ours.seconds / theirs.seconds
		}
		list = append(list, b.missing.Result("database."+name, peer, sized(rows), value, measured))
	}
	ratio("vs_pgloader", "pgloader", b.large)
	ratio("vs_duckdb", "duckdb-best", b.large)
	ratio("vs_rowwise", "rowwise", b.large)
	ratio("vs_limit", "limit", b.large)
	ratio("small_vs_pgloader", "pgloader", smallRows)
	delta, measured := b.of("delta", b.large)
	nothing, _ := b.of("delta-0", b.large)
	for name, peer := range map[string]string{"delta_vs_pgloader": "pgloader", "delta_vs_duckdb": "duckdb-best", "delta_vs_cold": "ours"} {
		theirs, there := b.of(peer, b.large)
		list = append(list, b.missing.Result("database."+name, peer, sized(b.large), theirs.seconds/delta.seconds, there && measured))
	}
	list = append(list, b.missing.Result("database.delta_of_nothing", "ours", "", nothing.seconds/delta.seconds, measured))
	slices.Sort(list)
	middle, _ := b.of("ours", b.middle)
	large, _ := b.of("ours", b.large)
	for _, own := range []struct {
		name  string
		value float64
	}{{"peak_mib_1e5", middle.mib}, {"peak_mib_1e6", large.mib}, {"verify_share", large.verify / large.seconds}} {
		list = append(list, b.missing.Result("database."+own.name, "ours", "", own.value, true))
	}
	return list
}

// replace puts text between the markers of a document, which is made if needed.
func replace(path, text string) error {
	raw, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	doc := string(raw)
	block := begin + "\n" + text + end
	before, rest, ok := strings.Cut(doc, begin)
	if !ok {
		return os.WriteFile(path, []byte(doc+"\n## The database step\n\n"+block+"\n"), 0o644)
	}
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		return fmt.Errorf("%s: %q without %q", path, begin, end)
	}
	return os.WriteFile(path, []byte(before+block+after), 0o644)
}
