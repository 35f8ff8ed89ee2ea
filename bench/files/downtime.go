package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"cidx-cluster/bench/internal/busy"
	"cidx-cluster/e2e/sandbox"
)

// Markers of this part of the document.
const (
	beginDowntime = "<!-- bench-downtime: begin -->"
	endDowntime   = "<!-- bench-downtime: end -->"
)

// outage is one whole migration of a sandbox with a large seed by the real
// playbook onto an empty share, from the first check to the last.
type outage struct {
	place  string
	rows   int
	whole  float64 // seconds of the run
	down   float64 // seconds from the stop to the proof of health, as the report has it
	server float64 // seconds of these that the server took to stop and to start
	files  int64
	bytes  int64
	copied []string // what each pass of the copy did
	steps  []string // from the stop on, with seconds since the step before
}

func (o outage) share() float64 { return o.down / o.whole }

// own is the share of the run in which the server stood still because of us.
func (o outage) own() float64 { return (o.down - o.server) / o.whole }

// downtime measures a local disk and the share with latency.
func downtime(ctx context.Context, o options, dir string) error {
	bin := filepath.Join(dir, "bin")
	for _, program := range []string{"cidx-standin", "cidx-share"} {
		if err := goBuild(ctx, filepath.Join(bin, program), "./e2e/cmd/"+program); err != nil {
			return err
		}
	}
	var list []outage
	for _, place := range []string{"local", "latency"} {
		m, err := migrate(ctx, o, bin, place)
		if err != nil {
			return fmt.Errorf("downtime, %s: %w", place, err)
		}
		fmt.Printf("%-8s %7.1f s the whole run, %6.1f s from stop to healthy, %d files\n", m.place, m.whole, m.down, m.files)
		list = append(list, m)
	}
	table := downtimeTable(o, list)
	fmt.Printf("\n%s\n", table)
	if o.doc != "" {
		if err := replace(o.doc, "Downtime", beginDowntime, endDowntime, table); err != nil {
			return err
		}
	}
	for _, m := range list {
		fmt.Printf("RESULT files.downtime_share_%s %.3f\n", m.place, m.share())
		fmt.Printf("RESULT downtime.own_share_%s %.3f\n", m.place, m.own())
	}
	fmt.Printf("RESULT downtime.rows %d\n", list[0].rows)
	return nil
}

// migrate stages a server and migrates it.
func migrate(ctx context.Context, o options, bin, place string) (m outage, err error) {
	dir, err := sandbox.New()
	if err != nil {
		return m, err
	}
	up := sandbox.Defaults()
	up.Dir, up.Bin, up.Owner, up.PlainShare, up.Fsync = dir, bin, os.Getpid(), true, true
	up.Seed.Repos, up.Seed.FilesPerRepo, up.Seed.Snapshots = o.repos, o.perRepo, 2
	fmt.Printf("staging %d repositories of %d files, with two snapshots each, and %d rows ...\n", o.repos, o.perRepo, o.rows)
	box, err := sandbox.Up(ctx, up)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, box.Down()) }()
	away, err := mountPlace(ctx, box, place, o.delay)
	if err != nil {
		return m, err
	}
	defer away()
	m.place = place
	if m.rows, err = busy.Fill(ctx, filepath.Join(box.Home, "data/cidx_server.db"), o.rows); err != nil {
		return m, fmt.Errorf("fill the database: %w", err)
	}
	// What the seed has written must not be written during the run.
	syscall.Sync()
	begun := time.Now()
	if err := play(ctx, box); err != nil {
		return m, err
	}
	m.whole = time.Since(begun).Seconds()
	return m, m.read(filepath.Join(box.Reports(), "node1", "latest", "report.json"))
}

// mountPlace puts a file system at the sandbox's share: a folder of the local
// disk, or a share with latency whose files lie in memory.
func mountPlace(ctx context.Context, box *sandbox.Sandbox, place string, delay time.Duration) (away func(), err error) {
	if place == "local" {
		if _, err := mountDisk(box.Share); err != nil {
			return nil, err
		}
		return func() { unmount(box.Share) }, nil
	}
	if err := os.MkdirAll(box.Backing(), 0o755); err != nil {
		return nil, fmt.Errorf("make backing folder: %w", err)
	}
	if err := syscall.Mount("cidx-bench", box.Backing(), "tmpfs", 0, "mode=0755"); err != nil {
		return nil, fmt.Errorf("mount backing folder: %w", err)
	}
	away = func() { unmount(box.Share); unmount(box.Backing()) }
	if err := box.Export(ctx, "-delay", delay.String()); err != nil {
		away()
		return nil, err
	}
	return away, nil
}

// play runs the real playbook as an operator would.
func play(ctx context.Context, box *sandbox.Sandbox) error {
	cmd := exec.CommandContext(ctx, "ansible-playbook", "cluster-migrate.yml", "-l", "node1")
	cmd.Env = append(os.Environ(), box.AnsibleEnv()...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, io.Discard
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("migrate: %w: %s", err, out.String())
	}
	return nil
}

// read takes from the report what was measured there.
func (m *outage) read(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read report: %w", err)
	}
	var report struct {
		Downtime struct{ Seconds float64 }
		Files    struct {
			Parts  []struct{ Files, Bytes int64 }
			Passes []struct {
				Phase        string
				Files, Bytes int64
			}
		}
		Timeline []struct {
			Module, Event string
			After         float64 `json:"after_seconds"`
		}
	}
	if err := json.Unmarshal(raw, &report); err != nil {
		return fmt.Errorf("read report: %w", err)
	}
	m.down = report.Downtime.Seconds
	if m.down == 0 {
		return errors.New("read report: no downtime")
	}
	for _, p := range report.Files.Parts {
		m.files += p.Files
		m.bytes += p.Bytes
	}
	for _, p := range report.Files.Passes {
		m.copied = append(m.copied, fmt.Sprintf("%s %d files", p.Phase, p.Files))
	}
	stopped := false
	for _, e := range report.Timeline {
		if stopped {
			m.steps = append(m.steps, fmt.Sprintf("%s %s %.1f s", e.Module, e.Event, e.After))
		}
		if stopped && e.Module == "cidx_service" && (e.Event == "stopped" || e.Event == "started") {
			m.server += e.After
		}
		stopped = stopped || e.Module == "cidx_service" && e.Event == "stopping"
	}
	return nil
}

func downtimeTable(o options, list []outage) string {
	var t strings.Builder
	fmt.Fprintf(&t, "%s; the real playbook on a sandbox with a serving stand-in, onto an empty share; "+
		"%s an operation on the share with latency. "+
		"The whole run begins with the prechecks and ends with the report; "+
		"the downtime is from the order to stop to the proof of health, as the report has it; "+
		"our own share is without the time that the server takes to stop and to start.\n\n", setting(), o.delay)
	t.WriteString("| place | files | GB | rows | whole run, s | downtime, s | share | our own share | from the stop on |\n" +
		"|---|---:|---:|---:|---:|---:|---:|---:|---|\n")
	for _, m := range list {
		fmt.Fprintf(&t, "| %s | %d | %.1f | %d | %.1f | %.1f | %.1f %% | %.1f %% | %s |\n",
			m.place, m.files, float64(m.bytes)/1e9, m.rows, m.whole, m.down, 100*m.share(), 100*m.own(),
			strings.Join(append(m.copied, m.steps...), ", "))
	}
	return t.String()
}
