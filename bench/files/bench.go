package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cidx-cluster/bench/internal/peers"
)

// bench is one run.
type bench struct {
	options    options
	dir        string // on the local disk
	memory     string // in memory
	contenders []contender
	undo       []func()
	samples    []sample
	missing    peers.Unmeasured
}

// sample is one measurement.
type sample struct {
	contender  string
	place      string
	data       string
	step       step
	seconds    float64
	operations int64
	entries    int // files and folders of the data
}

// build makes the share, and checks that there is a helper to measure.
func (b *bench) build(ctx context.Context) error {
	if _, err := os.Stat(b.options.helper); err != nil {
		return fmt.Errorf("find the helper: %w; make modules builds it", err)
	}
	return goBuild(ctx, filepath.Join(b.dir, "cidx-share"), "./e2e/cmd/cidx-share")
}

func goBuild(ctx context.Context, to, from string) error {
	out, err := exec.CommandContext(ctx, "go", "build", "-o", to, from).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build %s: %w: %s", from, err, out)
	}
	return nil
}

// measure runs every contender through every step, on each place.
func (b *bench) measure(ctx context.Context) error {
	backing, err := b.backing()
	if err != nil {
		return err
	}
	slow := &latency{
		program: filepath.Join(b.dir, "cidx-share"), backing: backing, point: filepath.Join(b.dir, "share"),
		counters: filepath.Join(b.dir, "counters.json"), delay: b.options.delay,
	}
	b.undo = append(b.undo, func() { _ = slow.stop() })
	local, err := mountDisk(filepath.Join(b.dir, "disk"))
	if err != nil {
		return err
	}
	b.undo = append(b.undo, func() { unmount(local.point) })

	small, err := makeSmall(filepath.Join(b.dir, "small"), b.options.small)
	if err != nil {
		return fmt.Errorf("make small files: %w", err)
	}
	large, err := makeLarge(filepath.Join(b.dir, "large"), b.options.large, b.options.largeSize)
	if err != nil {
		return fmt.Errorf("make large files: %w", err)
	}
	many, err := makeSmall(filepath.Join(b.dir, "many"), b.options.local)
	if err != nil {
		return fmt.Errorf("make small files: %w", err)
	}
	return errors.Join(
		b.rounds(ctx, slow, small, cold, unchanged, delta, verify),
		b.rounds(ctx, slow, large, cold),
		b.rounds(ctx, local, many, cold, unchanged, delta),
		b.rounds(ctx, local, large, cold),
	)
}

// rounds takes every contender through the steps, on an empty place each.
func (b *bench) rounds(ctx context.Context, p place, d *dataset, steps ...step) error {
	for i, c := range b.contenders {
		if err := errors.Join(p.empty(), os.RemoveAll(filepath.Join(d.home, ".cluster-migrate"))); err != nil {
			return err
		}
		for _, s := range steps {
			if s == delta {
				if _, err := d.change(byte('a' + i)); err != nil {
					return fmt.Errorf("change files: %w", err)
				}
				// Real changes are older than the blink in which a clock does not move.
				time.Sleep(50 * time.Millisecond)
			}
			err := b.one(ctx, p, d, c, s)
			switch {
			case err != nil && (!c.peer || ctx.Err() != nil):
				return fmt.Errorf("%s, %s: %w", c.name, at(p.name(), d.name, s), err)
			case err != nil: // what a peer cannot do is a result
				b.missing.Add(c.name, at(p.name(), d.name, s), err)
			}
		}
	}
	return errors.Join(p.empty(), os.RemoveAll(filepath.Join(d.home, ".cluster-migrate")))
}

func (b *bench) one(ctx context.Context, p place, d *dataset, c contender, s step) error {
	if c.prepare != nil && s != cold {
		if err := c.prepare(ctx, s, d, p.path()); err != nil {
			return err
		}
	}
	if err := p.fresh(ctx); err != nil {
		return err
	}
	begun := time.Now()
	ran, err := c.run(ctx, s, d, p.path())
	took := time.Since(begun).Seconds()
	if err != nil || !ran {
		return err
	}
	counts := p.operations()
	m := sample{
		contender: c.name, place: p.name(), data: d.name, step: s,
		seconds: took, operations: counts["total"], entries: d.files + d.folders,
	}
	b.samples = append(b.samples, m)
	fmt.Printf("%-15s %-6s %-6s %-10s %8.2f s %8d operations%s\n",
		m.contender, m.place, m.data, m.step, m.seconds, m.operations, kinds(counts, m.entries))
	return nil
}

// kinds tells which operations a measurement took, each for an entry of the data.
func kinds(counts map[string]int64, entries int) string {
	var b strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		if each := float64(counts[kind]) / float64(entries); kind != "total" && each >= 0.01 {
			fmt.Fprintf(&b, ", %s %.2f", kind, each)
		}
	}
	return b.String()
}

// at names a measurement for a reader.
func at(place, data string, s step) string { return fmt.Sprintf("%s, %s, %s", place, data, s) }

// of returns a measurement.
func (b *bench) of(contender, place, data string, s step) (sample, bool) {
	for _, m := range b.samples {
		if m.contender == contender && m.place == place && m.data == data && m.step == s {
			return m, true
		}
	}
	return sample{}, false
}
