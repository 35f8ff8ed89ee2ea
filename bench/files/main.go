// Command files measures cidx_files against its peers in one run: the same
// trees to the same places, one contender after the other.
//
// The places are a share on which every operation takes half a millisecond (a
// FUSE pass-through, e2e/cmd/cidx-share) and a local disk; the trees are many small
// files, as CIDX's indexes and git's objects are, and a few large ones, as packs
// are. Before each measurement on the share it is mounted anew, so that nobody
// lives on what the kernel remembers. Peers: rsync, fpsync, rclone; one that is
// not installed, or fails, is reported as that. It needs root.
//
// With -downtime it measures something else: whole migrations of a sandbox with
// a large seed and database by the real playbook, and which share of them the server stands
// still. With -memory it measures how much memory cidx_files takes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

type options struct {
	helper, doc, scratch string
	small, local, large  int
	largeSize            int64
	delay                time.Duration
	downtime             bool
	repos, perRepo, rows int
	memory               int
}

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.StringVar(&o.helper, "helper", "build/cidx-helper", "the helper to measure; make modules builds it")
	flag.StringVar(&o.doc, "doc", "docs/benchmarks.md", "where to write the table, between its markers; \"\" for nowhere")
	flag.StringVar(&o.scratch, "scratch", "", "folder on a local disk for trees and copies (default: a temporary one)")
	flag.IntVar(&o.small, "small", 10_000, "small files on the share")
	flag.IntVar(&o.local, "local", 50_000, "small files on the local disk")
	flag.IntVar(&o.large, "large", 6, "large files")
	flag.Int64Var(&o.largeSize, "large-size", 100<<20, "bytes of a large file")
	flag.DurationVar(&o.delay, "delay", 500*time.Microsecond, "what every operation on the share takes")
	flag.BoolVar(&o.downtime, "downtime", false, "measure the downtime of whole migrations instead")
	flag.IntVar(&o.repos, "repos", 40, "with -downtime: golden repositories, each with two snapshots")
	flag.IntVar(&o.perRepo, "files-per-repo", 1700, "with -downtime: files of a base clone")
	flag.IntVar(&o.rows, "rows", 1_000_000, "with -downtime: rows of the database")
	flag.IntVar(&o.memory, "memory", 0, "measure peak memory instead, over so many files and a tenth of them")
	flag.Parse()
	if err := run(ctx, o); err != nil {
		log.Fatalf("bench files: %v", err)
	}
}

func run(ctx context.Context, o options) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("needs root, to mount the share")
	}
	dir, err := os.MkdirTemp(o.scratch, "cidx-bench-files-")
	if err != nil {
		return fmt.Errorf("make scratch folder: %w", err)
	}
	if o.downtime {
		return errors.Join(downtime(ctx, o, dir), os.RemoveAll(dir))
	}
	if o.memory > 0 {
		return errors.Join(memory(ctx, o, dir), os.RemoveAll(dir))
	}
	b := &bench{options: o, dir: dir}
	defer func() { err = errors.Join(err, b.clean()) }()
	if err := b.build(ctx); err != nil {
		return err
	}
	b.findPeers()
	if err := b.measure(ctx); err != nil {
		return err
	}
	return b.report(os.Stdout)
}

// clean unmounts everything and removes the scratch folder.
func (b *bench) clean() error {
	for _, undo := range b.undo {
		undo()
	}
	if b.memory != "" {
		return errors.Join(os.RemoveAll(b.dir), os.RemoveAll(b.memory))
	}
	return os.RemoveAll(b.dir)
}

// backing is where the files of the share really lie: in memory, so that the
// delay is the only cost that the disk does not blur.
func (b *bench) backing() (string, error) {
	if b.memory == "" {
		dir, err := os.MkdirTemp("/dev/shm", "cidx-bench-files-")
		if err != nil {
			return "", fmt.Errorf("make backing folder: %w", err)
		}
		b.memory = dir
	}
	path := filepath.Join(b.memory, "backing")
	return path, os.MkdirAll(path, 0o755)
}
