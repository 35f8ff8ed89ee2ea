package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cidx-cluster/e2e/internal/newest"
	"cidx-cluster/e2e/internal/procs"
	"cidx-cluster/e2e/internal/transcript"
)

// playbook runs the real ansible-playbook in the operator's folder (the
// repository's root, or see installed and stand) with the sandbox's inventory:
//
//	playbook [-exit N] [-at MODULE.EVENT ACTION] [-traced] [-as ACCOUNT] [-newest] [-sudo TYPED] NAME.yml [arguments of ansible-playbook]
//
// -exit is the exit code it must end with (default 0). -at does something as
// soon as the journal holds that event (actions: see act); after a kill the
// exit code is not looked at. -traced has strace write to $WORK/trace, for
// byroot. -newest takes the newest ansible-core in place of the machine's. -sudo
// has an ordinary user do it, who types TYPED when asked for sudo's password.
// Everything printed is in $WORK/transcript afterwards, in order.
func (st *stage) playbook(c *call) error {
	run, err := parsePlaybook(c.args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	words := append([]string{"ansible-playbook"}, run.args...)
	if run.newest {
		bin, err := newest.Ansible(ctx, filepath.Join(repo, ".build", "cache"))
		if err != nil {
			return err
		}
		words[0] = filepath.Join(bin, words[0])
	}
	if run.traced {
		if words, err = traced(filepath.Join(st.work, "trace"), words); err != nil {
			return err
		}
	}
	if run.as != "" {
		words = append([]string{"setpriv", "--reuid", run.as, "--regid", run.as, "--clear-groups"}, words...)
	}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir, cmd.Env = st.folder, st.ansibleEnv(c)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if run.typed != "" {
		if err := st.bySudo(cmd, run.typed); err != nil {
			return err
		}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if run.traced {
		cmd.WaitDelay = 2 * time.Second
	}
	all := new(transcript.Buffer)
	cmd.Stdout, cmd.Stderr = io.MultiWriter(all, c.out), io.MultiWriter(all, c.ts.Stderr())
	watched := st.watchRoot(ctx)
	started := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start ansible-playbook: %w", err)
	}
	acted := make(chan error, 1)
	ended, end := context.WithCancel(ctx)
	go func() { acted <- st.actAt(ended, run, cmd.Process.Pid) }()
	if err = cmd.Wait(); errors.Is(err, exec.ErrWaitDelay) {
		err = nil // strace lives as long as the server and keeps the output open
	}
	end()
	if err := watched(); err != nil {
		return err
	}
	st.transcript = all.String()
	if err := os.WriteFile(filepath.Join(st.work, "transcript"), []byte(st.transcript), 0o600); err != nil {
		return err
	}
	c.ts.Logf("[%.1fs]", time.Since(started).Seconds())
	if err := st.validReports(); err != nil && !strings.HasPrefix(run.action, "kill") {
		return err
	}
	if err := <-acted; err != nil || strings.HasPrefix(run.action, "kill") {
		return err
	}
	return wantExit(err, run.exit)
}

// watchRoot watches a playbook on the server of another account: what is returned
// says whether a program of root's had files of the server open.
func (st *stage) watchRoot(ctx context.Context) (ended func() error) {
	if st.box.User == "" {
		return func() error { return nil }
	}
	stop := procs.Watch(ctx, st.box.Home, st.box.Share)
	return func() error {
		if byRoot, _ := stop(); len(byRoot) > 0 {
			return fmt.Errorf("as root: %s", strings.Join(byRoot, "; "))
		}
		return nil
	}
}

func wantExit(err error, want int) error {
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		return err
	}
	if got != want {
		return fmt.Errorf("exit code %d, want %d", got, want)
	}
	return nil
}

// ansibleEnv is the test's environment, the sandbox's, and what the script set
// for Ansible with "env".
func (st *stage) ansibleEnv(c *call) []string {
	env := append(append(os.Environ(), st.box.AnsibleEnv()...), "PWD="+st.folder)
	for _, name := range []string{"ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_STDOUT_CALLBACK", "ANSIBLE_CALLBACK_PLUGINS", "ANSIBLE_CONFIG", "ANSIBLE_INVENTORY"} {
		if value := c.ts.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// playbookRun is a parsed line of a script.
type playbookRun struct {
	exit   int
	at     string // "cidx_config.linked"; "" does nothing
	action string
	as     string // the account that runs it; "" is the test's own
	traced bool   // calls go to $WORK/trace
	newest bool   // by the newest ansible-core
	typed  string // for sudo, by an ordinary user; "" is the test's own
	args   []string
}

func parsePlaybook(args []string) (playbookRun, error) {
	var run playbookRun
	for len(args) > 0 && (args[0] == "-exit" || args[0] == "-at" || args[0] == "-traced" || args[0] == "-as" || args[0] == "-newest" || args[0] == "-sudo") {
		switch {
		case args[0] == "-exit" && len(args) > 1:
			exit, err := strconv.Atoi(args[1])
			if err != nil {
				return run, fmt.Errorf("-exit: %w", err)
			}
			run.exit, args = exit, args[2:]
		case args[0] == "-as" && len(args) > 1:
			run.as, args = args[1], args[2:]
		case args[0] == "-sudo" && len(args) > 1:
			run.typed, args = args[1], args[2:]
		case args[0] == "-traced":
			run.traced, args = true, args[1:]
		case args[0] == "-newest":
			run.newest, args = true, args[1:]
		case args[0] == "-at" && len(args) > 2:
			run.at, run.action, args = args[1], args[2], args[3:]
		default:
			return run, fmt.Errorf("%s: too few words", args[0])
		}
	}
	if len(args) == 0 {
		return run, errors.New("no playbook named")
	}
	run.args = args
	return run, nil
}

// actAt waits for the event in the journal and acts. It is an error when the
// playbook ends without that event.
func (st *stage) actAt(ctx context.Context, run playbookRun, controller int) error {
	if run.at == "" {
		return nil
	}
	module, event, _ := strings.Cut(run.at, ".")
	want := [][]byte{[]byte(`"module":"` + module + `"`), []byte(`"event":"` + event + `"`)}
	home := st.box.Home
	for name, other := range st.others {
		if slices.Contains(run.args, name) {
			home = other.home
		}
	}
	path := filepath.Join(home, ".cluster-migrate", "journal.jsonl")
	before, _ := os.ReadFile(path)
	for ctx.Err() == nil {
		journal, _ := os.ReadFile(path)
		for _, line := range bytes.Split(journal[min(len(before), len(journal)):], []byte("\n")) {
			if bytes.Contains(line, want[0]) && bytes.Contains(line, want[1]) {
				return st.act(run.action, controller)
			}
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("at %s: no such event in the journal", run.at)
}

// act is what can happen to a migration under way: kill -9 of the helper's
// job, of the controller, or of both; the database gone; the share gone, full
// or read-only.
func (st *stage) act(action string, controller int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	switch action {
	case "kill":
		return errors.Join(syscall.Kill(-controller, syscall.SIGKILL), st.box.KillJobs())
	case "kill-helper":
		return st.box.KillJobs()
	case "kill-controller":
		return syscall.Kill(-controller, syscall.SIGKILL)
	case "ctrl-c":
		return syscall.Kill(-controller, syscall.SIGINT)
	case "open-window": // the file for which cidx_pause_before_stop waits
		if err := st.box.Server(ctx, "status"); err != nil {
			return fmt.Errorf("before the window: %w", err)
		}
		return os.WriteFile(filepath.Join(st.box.Dir, "window"), nil, 0o600)
	case "start-server": // as a supervisor does
		return st.box.Server(ctx, "start")
	case "crash-postgres":
		return st.box.Postgres.Crash(ctx)
	case "unmount-share":
		return st.box.Unmount()
	case "fill-share":
		return st.fill()
	case "late-writes":
		return st.lateWrite()
	case "lock-share":
		return st.box.Remount(true, shareBytes)
	}
	return fmt.Errorf("unknown action %q", action)
}
