package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// memory measures the largest resident set of cidx_files in a first, a second
// and an unchanged pass over trees of two sizes on a local disk.
func memory(ctx context.Context, o options, dir string) (err error) {
	disk, err := mountDisk(filepath.Join(dir, "disk"))
	if err != nil {
		return err
	}
	defer unmount(disk.point)
	var peaks []float64
	for _, files := range []int{o.memory / 10, o.memory} {
		home := filepath.Join(dir, fmt.Sprint("home-", files))
		d, err := makeSmall(home, files)
		if err != nil {
			return fmt.Errorf("make small files: %w", err)
		}
		largest := 0.0
		for _, s := range []step{cold, unchanged, delta} {
			if s == delta {
				if _, err := d.change('m'); err != nil {
					return fmt.Errorf("change files: %w", err)
				}
				time.Sleep(50 * time.Millisecond)
			}
			mib, seconds, err := passOf(ctx, o.helper, s, d, disk.path())
			if err != nil {
				return err
			}
			fmt.Printf("%8d files, %7d folders  %-10s %7.1f s %7.1f MiB\n", d.files, d.folders, s, seconds, mib)
			largest = max(largest, mib)
		}
		peaks = append(peaks, largest)
		if err := errors.Join(disk.empty(), os.RemoveAll(home)); err != nil {
			return err
		}
	}
	fmt.Printf("RESULT files.peak_mib_1e6 %.1f\nRESULT files.peak_growth %.2f\n", peaks[1], peaks[1]/peaks[0])
	return nil
}

// passOf runs one pass as an operator gets it: the first while the server runs.
func passOf(ctx context.Context, helper string, s step, d *dataset, target string) (mib, seconds float64, err error) {
	a := map[string]any{"home": d.home, "share": target, "fsck": false, "phase": "delta"}
	if s == cold {
		a["phase"] = "warm"
	}
	input, err := json.Marshal(a)
	if err != nil {
		return 0, 0, fmt.Errorf("encode arguments: %w", err)
	}
	cmd := exec.CommandContext(ctx, helper, "module", "cidx_files")
	cmd.Stdin = bytes.NewReader(input)
	begun := time.Now()
	out, err := cmd.Output()
	var reply struct {
		Failed bool
		Msg    string
	}
	if decodeErr := json.Unmarshal(out, &reply); decodeErr != nil || reply.Failed {
		return 0, 0, errors.Join(fmt.Errorf("%s pass: %s", s, reply.Msg), decodeErr, err)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, 0, errors.New("the system tells no peak of a process")
	}
	return float64(usage.Maxrss) / 1024, time.Since(begun).Seconds(), nil
}
