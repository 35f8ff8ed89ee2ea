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
	"strings"

	"cidx-cluster/bench/internal/peers"
)

// step is what is measured.
type step string

const (
	cold      step = "cold"      // first copy to an empty place
	unchanged step = "unchanged" // the same again
	delta     step = "delta"     // after one percent of the files has changed
	verify    step = "verify"    // everything read back and compared
)

// contender copies a dataset to a place; it says which steps it knows.
type contender struct {
	name    string
	peer    bool                                                               // not ours: it may fail
	prepare func(ctx context.Context, s step, d *dataset, target string) error // not measured; may be nil
	run     func(ctx context.Context, s step, d *dataset, target string) (ran bool, err error)
}

// helper runs cidx_files. Its first pass compares nothing, as the peers do not;
// the others are as an operator gets them.
func (b *bench) helper(ctx context.Context, s step, d *dataset, target string) (bool, error) {
	a := map[string]any{"home": d.home, "share": target, "fsck": false, "phase": "delta"}
	switch s {
	case cold:
		a["phase"], a["compare"] = "warm", "none"
	case verify:
		a["compare"] = "all"
	}
	return true, b.module(ctx, a)
}

// readBack is what a warm pass does by default after copying, while the server
// runs, and what the measured first pass has left out.
func (b *bench) readBack(ctx context.Context, s step, d *dataset, target string) error {
	if s != unchanged {
		return nil
	}
	return b.module(ctx, map[string]any{"home": d.home, "share": target, "fsck": false, "phase": "warm"})
}

// compared is cidx_files with its defaults: what it has copied it reads back.
func (b *bench) compared(ctx context.Context, s step, d *dataset, target string) (bool, error) {
	if s != cold {
		return false, nil
	}
	return true, b.module(ctx, map[string]any{"home": d.home, "share": target, "fsck": false, "phase": "warm"})
}

func (b *bench) module(ctx context.Context, arguments map[string]any) error {
	input, err := json.Marshal(arguments)
	if err != nil {
		return fmt.Errorf("encode arguments: %w", err)
	}
	cmd := exec.CommandContext(ctx, b.options.helper, "module", "cidx_files")
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.Output()
	var reply struct {
		Failed bool
		Msg    string
	}
	if decodeErr := json.Unmarshal(out, &reply); decodeErr != nil {
		return errors.Join(fmt.Errorf("read reply: %w", decodeErr), err)
	}
	if reply.Failed {
		return errors.New(reply.Msg)
	}
	return nil
}

func rsync(ctx context.Context, s step, d *dataset, target string) (bool, error) {
	arguments := map[step][]string{cold: {"-a"}, unchanged: {"-a"}, delta: {"-a", "--delete"}, verify: {"-anc"}}[s]
	return true, command(ctx, "rsync", append(arguments, d.source(), target+"/")...)
}

func (b *bench) fpsync(ctx context.Context, s step, d *dataset, target string) (bool, error) {
	if s == verify {
		return false, nil
	}
	to := filepath.Join(target, "golden-repos")
	if err := os.MkdirAll(to, 0o755); err != nil {
		return true, err
	}
	state := filepath.Join(b.dir, "fpsync")
	defer os.RemoveAll(state)
	return true, command(ctx, "fpsync", "-n", "8", "-f", "2000", "-t", state, d.source()+"/", to+"/")
}

func rclone(ctx context.Context, s step, d *dataset, target string) (bool, error) {
	if s == verify {
		return false, nil
	}
	return true, command(ctx, "rclone", "copy", "--config=", "--links", "--transfers", "32", "--checkers", "32",
		"--create-empty-src-dirs", d.source(), filepath.Join(target, "golden-repos"))
}

// rust is where build/setup.sh bench puts fcp and xcp, from the repository's root.
const rust = ".build/rust/bin/"

// fcp and xcp copy, and do nothing else: fcp keeps modes and links, neither
// resumes or follows deletions.
func fcp(ctx context.Context, s step, d *dataset, target string) (bool, error) {
	if s != cold {
		return false, nil
	}
	return true, command(ctx, rust+"fcp", d.source(), filepath.Join(target, "golden-repos"))
}

func xcp(ctx context.Context, s step, d *dataset, target string) (bool, error) {
	if s != cold {
		return false, nil
	}
	return true, command(ctx, rust+"xcp", "--recursive", "--no-progress", "--workers", "16", d.source(), target+"/")
}

func command(ctx context.Context, name string, arguments ...string) error {
	cmd := exec.CommandContext(ctx, name, arguments...)
	cmd.Env = append(os.Environ(), "RCLONE_CONFIG=/dev/null/none")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %.300s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// findPeers lists who is there to be measured, and says who is not.
func (b *bench) findPeers() {
	b.contenders = []contender{{"ours", false, b.readBack, b.helper}, {"ours, compared", false, nil, b.compared}}
	for _, c := range []struct {
		contender
		program, from string
	}{
		{contender{"rsync", true, nil, rsync}, "rsync", "Debian's rsync"},
		{contender{"fpsync", true, nil, b.fpsync}, "fpsync", "Debian's fpart"},
		{contender{"rclone", true, nil, rclone}, "rclone", "Debian's rclone"},
		{contender{"fcp", true, nil, fcp}, rust + "fcp", "it with cargo"},
		{contender{"xcp", true, nil, xcp}, rust + "xcp", "it with cargo"},
	} {
		if err := peers.Installed(c.program, c.from); err != nil {
			b.missing.Add(c.name, "", err)
			continue
		}
		b.contenders = append(b.contenders, c.contender)
	}
}
