package ansible

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"cidx-cluster/modules/internal/job"
	"cidx-cluster/modules/internal/secret"
)

// module runs a module in the foreground.
func (p program) module(m Module) int {
	input, err := io.ReadAll(p.in)
	if err != nil {
		return p.refuse("cidx-helper: read arguments: " + err.Error())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	return p.write(m.foreground(ctx, input))
}

// foreground runs m under the rules that hold for jobs.
func (m Module) foreground(ctx context.Context, input []byte) []byte {
	if _, _, _, err := m.Decode(input); err != nil {
		return m.Run(ctx, input, nil)
	}
	return m.perform(ctx, request(m, input), input, nil)
}

// native is Ansible's contract for binary modules: one word, the name of a
// file with JSON arguments. The work is done in a child, so that there is a
// reply even when it crashes or is killed. The exit status is 0: Ansible reads
// "failed".
func (p program) native(m Module, words []string) int {
	if len(words) != 1 {
		return p.refuse("usage: " + m.Name + " <arguments file>")
	}
	input, err := os.ReadFile(words[0])
	if err != nil {
		return p.refuse("cidx-helper: read arguments: " + err.Error())
	}
	return p.write(m.supervise(input))
}

// supervise runs the module in a child process, passes signals on, and makes a
// reply of whatever becomes of it.
func (m Module) supervise(input []byte) []byte {
	self, err := os.Executable()
	if err != nil {
		return refusal(fmt.Errorf("find helper: %w", err))
	}
	var stdout, stderr bytes.Buffer
	child := exec.Command(self, "module", m.Name)
	child.Args[0] = "cidx-helper" // its own name would make it an Ansible module again
	child.Stdin, child.Stdout, child.Stderr = bytes.NewReader(input), &stdout, &stderr
	// Signals of the terminal reach the child through us only, and once.
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := child.Start(); err != nil {
		return refusal(fmt.Errorf("start module: %w", err))
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = child.Process.Signal(s) // gone already: its end is next
		case err := <-ended:
			if reply := bytes.TrimSpace(stdout.Bytes()); json.Valid(reply) {
				return reply
			}
			_, mode, _, _ := m.Decode(input)
			err = crash{fmt.Sprintf("%s: ended without a reply: %v", m.Name, err), job.CrashText(stderr.String())}
			return m.encode(mode, Reply{Changed: !mode.Check}, err, nil, secret.New(), nil)
		}
	}
}
