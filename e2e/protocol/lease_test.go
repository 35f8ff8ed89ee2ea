package protocol

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A helper on a busy node, which tells only after a while that a run has the
// lease whose controller was killed here.
const lateRefusal = `#!/bin/sh
[ "$1" = version ] && { echo trial; exit; }
answer() { echo "{\"job\":\"j\",\"offset\":0,\"done\":$1,\"events\":[],\"reply\":$2}"; }
case $2 in
run) args=$(cat); case $args in *'"takeover": "killed"'*) echo taken >> DIR/calls; answer true '{"failed": false, "changed": false}';; *) answer false null;; esac;;
follow) answer true "{\"failed\": true, \"changed\": false, \"msg\": \"another run is at work\", \"lease\": {\"id\": \"killed\", \"pid\": $$, \"started\": \"1\",
 \"machine\": \"$(cat /etc/machine-id)\", \"boot\": \"$(cat /proc/sys/kernel/random/boot_id)\", \"space\": \"$(readlink /proc/self/ns/pid)\"}}" | tr '\n' ' '; echo;;
esac
`

// A controller that has ended, and whose parent has not fetched its exit code (a
// container without init), is dead; one that works is not.
func TestAProcessThatOnlyWaitsToBeFetchedHoldsNoLease(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		command []string
		dead    bool
	}{
		"one that has ended":   {[]string{"true"}, true},
		"one that still works": {[]string{"sleep", "60"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			holder := exec.Command(c.command[0], c.command[1:]...)
			if err := holder.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = holder.Process.Kill(); _ = holder.Wait() })
			stat := func() []string {
				raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", holder.Process.Pid))
				if err != nil {
					t.Fatal(err)
				}
				return strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
			}
			for c.dead && stat()[0] != "Z" {
				time.Sleep(time.Millisecond)
			}
			dir := t.TempDir()
			helper := strings.NewReplacer("DIR", dir, `\"pid\": $$`, fmt.Sprintf(`\"pid\": %d`, holder.Process.Pid), `\"started\": \"1\"`, `\"started\": \"`+stat()[19]+`\"`).Replace(lateRefusal)
			s := bareStage(t, []byte(helper))
			s.home = dir
			s.write("late.yml", "- hosts: node1\n  gather_facts: false\n  tasks:\n    - cidx.cluster.cidx_aliases: {home: /nowhere}\n")
			out, code := s.output("ansible-playbook", "late.yml")
			if (code == 0) != c.dead {
				t.Errorf("exit code %d:\n%s", code, out)
			}
		})
	}
}

func TestALeaseOfADeadRunIsTakenOverHoweverLateItIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bareStage(t, []byte(strings.ReplaceAll(lateRefusal, "DIR", dir)))
	s.home = dir
	s.write("late.yml", "- hosts: node1\n  gather_facts: false\n  tasks:\n    - cidx.cluster.cidx_aliases: {home: /nowhere}\n")
	out, code := s.output("ansible-playbook", "late.yml")
	if code != 0 || len(s.calls()) != 1 {
		t.Errorf("exit code %d, %q:\n%s", code, s.calls(), out)
	}
}
