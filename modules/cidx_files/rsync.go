package files

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"cidx-cluster/modules/internal/child"
	"cidx-cluster/modules/internal/problem"
)

// rsync is the program that copies.
type rsync struct {
	path    string
	noatime func() bool // can it open files without touching their access time?
	lock    *os.File    // inherited, so that the lock lives as long as any process
}

// findRsync finds the program. The error is a Problem.
func findRsync() (*rsync, error) {
	path, err := exec.LookPath("rsync")
	if err != nil {
		return nil, problem.Problem{What: "rsync is not installed", At: "PATH", Fix: "install the package rsync on this node"}
	}
	return &rsync{path: path, noatime: sync.OnceValue(func() bool {
		help, err := exec.Command(path, "--help").Output()
		return err == nil && bytes.Contains(help, []byte("--open-noatime"))
	})}, nil
}

// transfer is what one rsync process copies: regular files by their paths below
// source. Each is transferred, whatever the target has.
type transfer struct {
	source  string
	target  *target
	names   []string
	inPlace bool // the folders were made by us in this pass: no temporary files
	sparse  bool
}

// run copies and adds to the meter. What vanished meanwhile is no error; a
// partial transfer is errPartial with rsync's words.
func (r *rsync) run(ctx context.Context, t transfer, m *meter) error {
	if len(t.names) == 0 {
		return nil
	}
	cmd := exec.CommandContext(ctx, r.path, r.arguments(t)...)
	// It starts in the open folder: were the share unmounted meanwhile, its path
	// would lead to the local disk below it.
	cmd.Dir = t.target.self()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.Stdin = strings.NewReader("./" + strings.Join(t.names, "\x00./") + "\x00")
	// An own process group, so that the receiving side ends with the sending
	// one; and none survives us, not even a kill -9.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if r.lock != nil {
		cmd.ExtraFiles = []*os.File{r.lock}
	}
	p := &progressReader{meter: m}
	words := &child.Tail{Most: 8 << 10}
	cmd.Stdout, cmd.Stderr = p, words
	err := cmd.Run()
	if ctx.Err() != nil {
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // whoever ignored SIGTERM
		}
		return ctx.Err()
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		return &rsyncError{code: exit.ExitCode(), words: strings.TrimSpace(words.String()), target: t.target.root}
	}
	return fmt.Errorf("run rsync: %w", err)
}

func (r *rsync) arguments(t transfer) []string {
	list := []string{
		"--files-from=-", "--from0", "--no-implied-dirs",
		"--links", "--perms", "--times", "--owner", "--group", "--numeric-ids",
		// The final mode is set afterwards, by us: rsync 3.5 opens every file anew to
		// change it, which costs three operations on the share instead of one.
		"--chmod=F600", "--whole-file", "--ignore-times", "--ignore-missing-args",
		"--info=progress2", "--no-human-readable", "--outbuf=L",
	}
	if r.noatime() {
		list = append(list, "--open-noatime")
	}
	if t.sparse {
		list = append(list, "--sparse")
	}
	if t.inPlace {
		list = append(list, "--inplace")
	} else {
		list = append(list, "--temp-dir="+workFolder) // relative to the target
	}
	return append(list, "--", t.source+"/", "./")
}

// progressReader reads lines of --info=progress2:
//
//	104857600  16%  100.00MB/s    0:00:01 (xfr#5, to-chk=5/6)
//
// ended by carriage returns, with the bytes so far first.
type progressReader struct {
	meter *meter
	line  []byte
	bytes int64
	files int64
}

func (p *progressReader) Write(b []byte) (int, error) {
	for _, c := range b {
		if c != '\r' && c != '\n' {
			p.line = append(p.line, c)
			continue
		}
		p.take(string(p.line))
		p.line = p.line[:0]
	}
	return len(b), nil
}

func (p *progressReader) take(line string) {
	number, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	total, err := strconv.ParseInt(strings.ReplaceAll(number, ",", ""), 10, 64)
	if err != nil || !strings.Contains(rest, "%") {
		return
	}
	p.meter.bytes.Add(total - p.bytes)
	p.bytes = total
	if _, after, ok := strings.Cut(rest, "xfr#"); ok {
		digits, _, _ := strings.Cut(after, ",")
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
			p.meter.files.Add(n - p.files)
			p.files = n
		}
	}
	p.meter.moved()
}
