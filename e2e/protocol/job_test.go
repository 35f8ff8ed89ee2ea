package protocol

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A connection that breaks: it refuses while the file "cut" exists.
const flaky = `
import os
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as Local
DOCUMENTATION = "name: flaky\nshort_description: test\ndescription: [test]\noptions: {}\n"
class Connection(Local):
    transport = "flaky"
    def exec_command(self, cmd, in_data=None, sudoable=True):
        if os.path.exists(os.environ["CUT"]):
            raise AnsibleConnectionFailure("the cable is cut")
        return super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
`

// waiting starts a playbook whose only task waits for a file, and returns when
// its job is at work.
func (s *stage) waiting(extra ...string) (wait func() (string, error), flag string, pid int) {
	s.Helper()
	flag = s.path("flag")
	c := s.command("ansible-playbook", append([]string{"-l", "node1", s.playbook(s.task(map[string]any{"act": "wait", "file": flag}))}, extra...)...)
	c.Env = append(c.Env, "CUT="+s.path("cut"), "ANSIBLE_CONNECTION_PLUGINS="+filepath.Join(s.dir, "connection"))
	out, err := os.Create(s.path("out"))
	if err != nil {
		s.Fatal(err)
	}
	defer out.Close()
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		s.Fatal(err)
	}
	s.eventually("the job", func() bool { return len(processes(s.cache, "job work")) == 1 })
	s.eventually("the follower", func() bool { return strings.Contains(s.read(s.path("out")), "Trying wait") })
	return func() (string, error) {
		err := c.Wait()
		return s.read(s.path("out")), err
	}, flag, c.Process.Pid
}

func (s *stage) read(path string) string {
	s.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		s.Fatal(err)
	}
	return string(raw)
}

func (s *stage) touch(path string) {
	s.Helper()
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		s.Fatal(err)
	}
}

func (s *stage) kill(pids ...int) {
	s.Helper()
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			s.Fatal(err)
		}
	}
}

func TestProgressIsShownWhileTheModuleRuns(t *testing.T) {
	s := newStage(t)
	wait, flag, _ := s.waiting()
	s.eventually("a status", func() bool { return strings.Contains(s.read(s.path("out")), "%] waiting ") })
	s.touch(flag)
	out, err := wait()
	if err != nil {
		t.Fatal(out)
	}
	wantAll(t, out, "/ 1,000 looks, 20 looks/s", "The file is there", "changed=1")
}

func TestAKilledFollowerIsReplaced(t *testing.T) {
	s := newStage(t)
	wait, flag, _ := s.waiting()
	s.eventually("a follower", func() bool { return len(processes(s.cache, "h-trial job follow")) > 0 })
	s.kill(processes(s.cache, "h-trial job follow")...)
	s.touch(flag)
	out, err := wait()
	if err != nil || strings.Count(out, "Trying wait") != 1 {
		t.Fatalf("%v:\n%s", err, out)
	}
	wantAll(t, out, "The file is there", "changed=1")
}

func TestALostConnectionIsTriedAgain(t *testing.T) {
	s := newStage(t)
	s.write("connection/flaky.py", flaky)
	wait, flag, _ := s.waiting("-e", "ansible_connection=flaky")
	s.touch(s.path("cut"))
	s.eventually("the message", func() bool {
		return strings.Contains(s.read(s.path("out")), "connection to node1 lost, trying again in 1 s")
	})
	s.touch(flag)
	if err := os.Remove(s.path("cut")); err != nil {
		t.Fatal(err)
	}
	out, err := wait()
	if err != nil || strings.Count(out, "The file is there") != 1 {
		t.Fatalf("%v:\n%s", err, out)
	}
}

func TestAConnectionLostForGoodFailsTheTask(t *testing.T) {
	s := newStage(t)
	s.write("connection/flaky.py", flaky)
	wait, flag, _ := s.waiting("-e", "ansible_connection=flaky", "-e", "cidx_reconnect_timeout=1")
	s.touch(s.path("cut"))
	out, err := wait()
	s.touch(flag)
	if err == nil {
		t.Error("the play succeeded")
	}
	wantAll(t, out, "FAILED", "node1 cannot be reached for 1 s: the cable is cut", "run the same command again to follow it")
}

func TestAKilledJobFailsTheTask(t *testing.T) {
	s := newStage(t)
	wait, _, _ := s.waiting()
	s.kill(processes(s.cache, "job work")...)
	out, err := wait()
	if err == nil {
		t.Error("the play succeeded")
	}
	wantAll(t, out, "helper was killed: job cidx_trial-", "the last it said: Trying wait", "Hint: run the same command again")
}

func TestASignalledJobSaysHowFarItCame(t *testing.T) {
	s := newStage(t)
	wait, _, _ := s.waiting()
	for _, pid := range processes(s.cache, "job work") {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	out, err := wait()
	if err == nil {
		t.Error("the play succeeded")
	}
	wantAll(t, out, "context canceled", "Hint: interrupted by a signal; run the same command again")
}

// The controller is killed, the job lives on, and the same command takes it up.
func TestTheNextRunAttachesToTheJobOfAKilledController(t *testing.T) {
	s := newStage(t)
	wait, flag, pid := s.waiting()
	s.kill(pid)
	_, _ = wait() // killed
	if len(processes(s.cache, "job work")) != 1 {
		t.Fatal("the job died with its controller")
	}
	again, _, _ := s.waiting()
	s.touch(flag)
	out, err := again()
	if err != nil {
		t.Fatal(out)
	}
	wantAll(t, out, "The file is there", "changed=1")
	if jobs := s.jobs(); len(jobs) != 1 {
		t.Errorf("jobs %q", jobs)
	}
}

func TestTwoControllersDoNotInterleave(t *testing.T) {
	s := newStage(t)
	wait, flag, pid := s.waiting()
	out, code := s.play(s.task(map[string]any{"act": "ok"}))
	if code != 2 {
		t.Errorf("exit code %d", code)
	}
	wantAll(t, out, "another run is at work: ansible-playbook (pid ")
	if len(processes(s.cache, "job work")) != 1 || pid == 0 {
		t.Error("the first run's job is gone")
	}
	s.touch(flag)
	if out, err := wait(); err != nil {
		t.Error(out)
	}
}

func TestUnreachableBeforeTheFirstStep(t *testing.T) {
	s := newStage(t)
	s.write("connection/flaky.py", flaky)
	s.touch(s.path("cut"))
	c := s.command("ansible-playbook", "-l", "node1", "-e", "ansible_connection=flaky", s.playbook(s.task(map[string]any{})), "--check")
	c.Env = append(c.Env, "CUT="+s.path("cut"), "ANSIBLE_CONNECTION_PLUGINS="+filepath.Join(s.dir, "connection"))
	out, err := c.CombinedOutput()
	if err == nil || c.ProcessState.ExitCode() != 4 {
		t.Errorf("%v:\n%s", err, out)
	}
	wantAll(t, string(out), "UNREACHABLE", "the cable is cut")
}
