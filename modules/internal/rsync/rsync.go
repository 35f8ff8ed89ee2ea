// Package rsync runs the program that copies: one process for a list of regular
// files, which starts in the folder that they go to, tells how far it has come, and
// ends with us, whatever ends us.
package rsync

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

// Program is rsync as it is installed.
type Program struct {
	Lock    *os.File // inherited, so that the lock lives as long as any process
	path    string
	noatime func() bool // can it open files without touching their access time?
}

// Find finds the program. The error is a Problem.
func Find() (*Program, error) {
	path, err := exec.LookPath("rsync")
	if err != nil {
		return nil, problem.Problem{What: "rsync is not installed", At: "PATH", Fix: "install the package rsync on this node"}
	}
	return &Program{path: path, noatime: sync.OnceValue(func() bool {
		help, err := exec.Command(path, "--help").Output()
		return err == nil && bytes.Contains(help, []byte("--open-noatime"))
	})}, nil
}

// TouchTimes lets the access time of what is read change: only its owner may
// leave it alone.
func (r *Program) TouchTimes() { r.noatime = func() bool { return false } }

// Transfer is what one process copies: regular files by their paths below
// Source. Each is transferred, whatever the target has.
type Transfer struct {
	Source    string
	Into      string // the folder to which they go, by a path that leads nowhere else
	Shown     string // what it is called in messages
	Names     []string
	Temporary string // folder of temporary files, below Into; "": none are used, since the folders were just made
	Sparse    bool
	Slow      bool // every look at the target takes its time
}

// Run copies, and tells what more was copied than when it told before. What
// vanished meanwhile is no error; another fault of rsync's is an Error.
func (r *Program) Run(ctx context.Context, t Transfer, tell func(bytes, files int64)) error {
	if len(t.Names) == 0 {
		return nil
	}
	cmd := exec.CommandContext(ctx, r.path, r.arguments(t)...)
	// It starts in the open folder: were the share unmounted meanwhile, its path
	// would lead to the local disk below it.
	cmd.Dir = t.Into
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.Stdin = strings.NewReader("./" + strings.Join(t.Names, "\x00./") + "\x00")
	// An own process group, so that the receiving side ends with the sending
	// one; and none survives us, not even a kill -9.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if r.Lock != nil {
		cmd.ExtraFiles = []*os.File{r.Lock}
	}
	words := &child.Tail{Most: 8 << 10}
	cmd.Stdout, cmd.Stderr = &progressReader{tell: tell}, words
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
		return &Error{code: exit.ExitCode(), words: strings.TrimSpace(words.String()), target: t.Shown}
	}
	return fmt.Errorf("run rsync: %w", err)
}

func (r *Program) arguments(t Transfer) []string {
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
	if t.Sparse {
		list = append(list, "--sparse")
	}
	switch {
	case t.Temporary != "":
		list = append(list, "--temp-dir="+t.Temporary) // relative to Into
	case t.Slow:
		// What rsync opens to compare with is the original then: it does not look for a
		// copy once more. With --ignore-times it never takes that for the copy itself.
		list = append(list, "--inplace", "--compare-dest="+t.Source)
	default:
		list = append(list, "--inplace")
	}
	return append(list, "--", t.Source+"/", "./")
}

// progressReader reads lines of --info=progress2:
//
//	104857600  16%  100.00MB/s    0:00:01 (xfr#5, to-chk=5/6)
//
// ended by carriage returns, with the bytes so far first.
type progressReader struct {
	tell         func(bytes, files int64)
	line         []byte
	bytes, files int64
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
	files := p.files
	if _, after, ok := strings.Cut(rest, "xfr#"); ok {
		digits, _, _ := strings.Cut(after, ",")
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
			files = n
		}
	}
	p.tell(total-p.bytes, files-p.files)
	p.bytes, p.files = total, files
}
