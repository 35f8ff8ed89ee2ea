package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Markers of this benchmark's part of the document.
const (
	begin = "<!-- bench-files: begin -->"
	end   = "<!-- bench-files: end -->"
)

// report prints the table, writes it to the document, and ends with the lines
// RESULT name value, or NOT-MEASURED name reason.
func (b *bench) report(w io.Writer) error {
	table := b.table()
	fmt.Fprintf(w, "\n%s\n", table)
	if b.options.doc != "" {
		if err := replace(b.options.doc, "Files", begin, end, table); err != nil {
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
	fmt.Fprintf(&t, "%s; %s an operation on the share, %d files of 1–8 KB there and %d on the local disk, %d files of %d MB. "+
		"Each measurement starts with cold caches of the share. \"ours\" copies like the peers, without reading back; "+
		"\"ours, compared\" reads everything back, as it does by default.\n\n",
		setting(), b.options.delay, b.options.small, b.options.local, b.options.large, b.options.largeSize>>20)
	t.WriteString("| place | files | step | contender | seconds | operations | time / ours |\n|---|---|---|---|---:|---:|---:|\n")
	for _, m := range b.samples {
		ratio := ""
		if ours, ok := b.of("ours", m.place, m.data, m.step); ok {
			ratio = fmt.Sprintf("%.2f", m.seconds/ours.seconds)
		}
		operations := ""
		if m.operations > 0 {
			operations = fmt.Sprint(m.operations)
		}
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %.2f | %s | %s |\n", m.place, m.data, m.step, m.contender, m.seconds, operations, ratio)
	}
	t.WriteString(b.missing.Notes())
	return t.String()
}

// results are the ratios peer's time / our time, what our first copy costs the
// share for each file and folder, and the share of that copy's time that the
// server stands still for.
func (b *bench) results() []string {
	var list []string
	for _, r := range []struct {
		name, peer, place, data string
		step                    step
	}{
		{"cold_vs_rsync", "rsync", "share", "small", cold},
		{"nochange_vs_rsync", "rsync", "share", "small", unchanged},
		{"delta_vs_rsync", "rsync", "share", "small", delta},
		{"verify_vs_rsync", "rsync", "share", "small", verify},
		{"cold_vs_fpsync", "fpsync", "share", "small", cold},
		{"cold_vs_rclone", "rclone", "share", "small", cold},
		{"cold_vs_fcp", "fcp", "share", "small", cold},
		{"cold_vs_xcp", "xcp", "share", "small", cold},
		{"large_vs_rsync", "rsync", "share", "large", cold},
		{"local_vs_rsync", "rsync", "local", "small", cold},
		{"local_large_vs_rsync", "rsync", "local", "large", cold},
	} {
		peer, ok := b.of(r.peer, r.place, r.data, r.step)
		ours, mine := b.of("ours", r.place, r.data, r.step)
		list = append(list, b.missing.Result("files."+r.name, r.peer, at(r.place, r.data, r.step), peer.seconds/ours.seconds, ok && mine))
	}
	if first, ok := b.of("ours", "share", "small", cold); ok && first.operations > 0 {
		list = append(list, fmt.Sprintf("RESULT files.cold_operations %.2f", float64(first.operations)/float64(first.entries)))
	}
	if first, ok := b.of("ours, compared", "share", "small", cold); ok {
		window, _ := b.of("ours", "share", "small", delta)
		list = append(list, fmt.Sprintf("RESULT files.downtime_share %.3f", window.seconds/first.seconds))
	}
	return list
}

// setting says when and on what was measured.
func setting() string {
	return fmt.Sprintf("%s, %d cores", time.Now().UTC().Format("2006-01-02"), runtime.NumCPU())
}

// replace puts text between the markers of a document; document and heading are
// made if needed.
func replace(path, heading, begin, end, text string) error {
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read document: %w", err)
	}
	document := string(raw)
	part := begin + "\n" + text + end
	head, rest, found := strings.Cut(document, begin)
	_, tail, closed := strings.Cut(rest, end)
	switch {
	case found && closed:
		document = head + part + tail
	case document == "":
		document = "# Benchmarks\n\n## " + heading + "\n\n" + part + "\n"
	default:
		document = strings.TrimRight(document, "\n") + "\n\n## " + heading + "\n\n" + part + "\n"
	}
	if err := os.WriteFile(path, []byte(document), 0o644); err != nil {
		return fmt.Errorf("write document: %w", err)
	}
	return nil
}

func unmount(point string) { _ = syscall.Unmount(point, syscall.MNT_DETACH) }
