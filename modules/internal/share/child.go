package share

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// childName is the word by which a probe's child knows what it is.
const childName = "cidx-share-probe"

// answer is what a child has found. The child sends it anew before each probe,
// so that the parent knows where it hung.
type answer struct {
	Doing   string // the probe under way; "" at the end
	Real    string // the path without symbolic links
	Work    string // the probe folder
	Info    Info   // capacity and peculiarities
	Looked  bool   // Info's capacity is valid
	Results []Result
}

// fill copies what a child found into the parent's Info.
func (a answer) fill(into *Info) {
	into.Results = append(into.Results, a.Results...)
	if a.Looked {
		mount, mounted, results, hung := into.Mount, into.Mounted, into.Results, into.Hung
		*into = a.Info
		into.Mount, into.Mounted, into.Results, into.Hung = mount, mounted, results, hung
		return
	}
	into.HardLinks = into.HardLinks || a.Info.HardLinks
	into.Caseless = into.Caseless || a.Info.Caseless
	into.Granularity = max(into.Granularity, a.Info.Granularity)
	if len(into.BadNames) == 0 {
		into.BadNames = a.Info.BadNames
	}
}

// run starts a child for one task and returns its last answer. A child that
// does not end in time is killed and left alone; that is a problem.
func (p *prober) run(do string, r request) answer {
	r.Do = do
	last, err := p.converse(r)
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded) && p.caller.Err() != nil:
		p.problem("run the step again", "probe interrupted")
	case errors.Is(err, os.ErrDeadlineExceeded):
		p.info.Hung = true
		p.problem("check the file server and the network; a mount that stays dead is removed with: umount -f -l "+r.Mount,
			"the share does not answer: %s hangs since %.0f s", cmp.Or(last.Doing, "start"), time.Since(p.start).Seconds())
	default:
		p.problem("run the step again; if it stays, probe the share by hand", "probe share: %v", err)
	}
	return last
}

// converse runs the child and reads its answers until it ends.
func (p *prober) converse(r request) (answer, error) {
	input, err := json.Marshal(r)
	if err != nil {
		return answer{}, fmt.Errorf("encode request: %w", err)
	}
	replies, childEnd, err := os.Pipe()
	if err != nil {
		return answer{}, fmt.Errorf("make pipe: %w", err)
	}
	defer replies.Close()
	// The request travels in the environment: there is no secret in it, and a
	// child that is never waited for must not own a pipe that we still serve.
	child := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{childName}, Dir: "/",
		Env:         []string{requestVariable + "=" + string(input)},
		Stdout:      childEnd,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	err = child.Start()
	childEnd.Close()
	if err != nil {
		return answer{}, fmt.Errorf("start probe: %w", err)
	}
	go child.Wait()                                                                      //nolint:errcheck // reaps; the answers tell how it went
	stop := context.AfterFunc(p.ctx, func() { _ = replies.SetReadDeadline(time.Now()) }) // a pipe can always
	defer stop()
	last, err := readAnswers(replies)
	if err != nil {
		_ = child.Process.Kill() // it may have ended by itself
	}
	return last, err
}

// readAnswers returns the last answer; one that is not final is an error.
func readAnswers(replies *os.File) (answer, error) {
	var last answer
	lines := bufio.NewScanner(replies)
	lines.Buffer(make([]byte, 64<<10), 4<<20)
	complete := false
	for lines.Scan() {
		var next answer
		if err := json.Unmarshal(lines.Bytes(), &next); err != nil {
			return last, fmt.Errorf("read answer: %w", err)
		}
		last, complete = next, next.Doing == ""
	}
	if err := lines.Err(); err != nil {
		return last, err
	}
	if !complete {
		return last, fmt.Errorf("the probe ended in the middle of %q", last.Doing)
	}
	return last, nil
}

const (
	workPrefix      = ".cidx-probe-"
	requestVariable = "CIDX_SHARE_PROBE"
)
