package protocol

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A helper that notes each call and answers with replies/<module>.<real|check>
// [.<what>], or with success.
const notary = `#!/bin/sh
[ "$1" = version ] && { echo trial; exit; }
args=$(cat); module=$3; dir=DIR
case $args in *'"_ansible_check_mode": true'*) mode=check check=true;; *) mode=real check=false;; esac
what=$(printf %s "$args" | sed -n 's/.*"\(state\|phase\|mode\|outcome\)": "\([a-z-]*\)".*/\2/p')
parts=$(printf %s "$args" | sed -n 's/.*"parts": \[\([^]]*\)\].*/ \1/p')
checks=$(printf %s "$args" | sed -n 's/.*"checks": \[\([^]]*\)\].*/ \1/p')
step=$(printf %s "$args" | sed -n 's/.*"step": "\([^"]*\)".*/\1/p')
echo "${module#cidx_} $mode${what:+ $what}$parts$checks" >> $dir/calls
file=$dir/replies/$module.$mode; [ -f "$file.$what" ] && file=$file.$what
if [ -f "$file" ]; then reply=$(cat "$file"); else reply='"changed": true, "failed": false, "msg": "done"'; fi
[ -z "$step" ] || line="{\"line\": \"$step\"}"
echo "{\"job\":\"\",\"offset\":0,\"done\":true,\"events\":[$line],\"reply\":{\"check_mode\":$check, \"files\": [], \"report\": {}, \"html\": \"\", $reply}}"
`

const (
	unchanged = `"changed": false, "failed": false, "msg": "nothing to do"`
	broken    = `"changed": false, "failed": true, "msg": "broken pipe", "problems": [{"what": "broken pipe", "at": "somewhere", "fix": "mend it"}]`
)

func newFlow(t *testing.T, replies map[string]string) *stage {
	t.Helper()
	t.Parallel()
	dir := t.TempDir()
	s := bareStage(t, []byte(strings.ReplaceAll(notary, "DIR", dir)))
	s.home = dir
	for name, reply := range replies {
		s.write(filepath.Join(dir, "replies", name), reply)
	}
	return s
}

// calls are the noted calls, in order.
func (s *stage) calls() []string {
	s.Helper()
	raw, err := os.ReadFile(filepath.Join(s.home, "calls"))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		s.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(raw)), "\n")
}

var (
	rehearsal = []string{"service check stopped", "backup check taken", "database check load", "files check delta", "aliases check", "config check cluster"}
	warm      = []string{"verify real remember", "files real warm", "database real warm"}
	stop      = []string{"backup real prepared", "service real stopped", "backup real taken"}
	move      = []string{"database real load", `files real delta "golden-repos", "activated-repos"`, `files real delta "versioned"`, "aliases real", "config real cluster"}
	finish    = []string{"config real proven", "service real started", "verify real cluster", "service real released", "report real migrated"}
	lookUp    = []string{"service check status"} // before a failure is told
	failed    = append(lookUp, "report real failed")
	refused   = append(lookUp, "report check refused")
	rollback  = []string{"config check standalone", "backup real restorable", "service real stopped", "database real rollback", "config real standalone"}
	back      = []string{"backup real restored", "service real started", "verify real standalone", "service real released", "report real rolled-back"}
)

func join(parts ...[]string) []string {
	var all []string
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func precheck(mode string) []string { return []string{"precheck " + mode} }

func TestFlows(t *testing.T) {
	for name, test := range map[string]struct {
		playbook string
		args     []string
		replies  map[string]string
		code     int
		calls    []string
		shown    []string
		hidden   string
	}{
		"a migration": {
			playbook: "cluster-migrate", calls: join(precheck("real"), rehearsal, warm, stop, move, finish),
			shown: []string{"CIDX Cluster Migration\n=======================\n", "\nPre-checks:\n", "\nStep 1/5: SQLite to PostgreSQL data migration\n", "\nStep 2/5: Copy golden repos to shared storage\n",
				"\nStep 3/5: Copy versioned snapshots\n", "\nStep 4/5: Update alias JSON paths\n", "\nStep 5/5: Post-migration verification\n"},
		},
		"a rehearsal": {
			playbook: "cluster-migrate", args: []string{"--check"}, calls: join(precheck("check"), rehearsal, []string{"report check rehearsed"}),
			shown: []string{"Check mode: the server was not stopped"}, hidden: "Step 1/5",
		},
		"prechecks alone": {
			playbook: "cluster-precheck", calls: join(precheck("real"), rehearsal, []string{"report real rehearsed"}), hidden: "Check mode",
		},
		"a failed precheck": {
			playbook: "cluster-migrate", replies: map[string]string{"cidx_precheck.real": broken}, code: 2, calls: join(precheck("real"), refused),
			shown: []string{"broken pipe", `Not migrated: "Check what a migration needs" failed`, "changed nothing of the server and did not stop it"},
		},
		"problems of several rehearsals are told at once": {
			playbook: "cluster-migrate", replies: map[string]string{"cidx_database.check": broken, "cidx_config.check": broken}, code: 2,
			calls: join(precheck("real"), rehearsal, refused),
			shown: []string{"The migration cannot be done yet, 2 problems:\n  - somewhere: broken pipe (fix: mend it)\n  - somewhere: broken pipe (fix: mend it)\n", "Not migrated"},
		},
		"a rehearsal that breaks down": {
			playbook: "cluster-migrate", replies: map[string]string{"cidx_backup.check": `"failed": true, "msg": "crashed"`}, code: 2,
			calls: join(precheck("real"), rehearsal[:2], refused), shown: []string{"crashed", "Not migrated"},
		},
		"a warm copy that fails": {
			playbook: "cluster-migrate", replies: map[string]string{"cidx_files.real": broken}, code: 2,
			calls: join(precheck("real"), rehearsal, warm[:2], refused), shown: []string{"Not migrated"}, hidden: "roll back",
		},
		"a stop that fails": {
			playbook: "cluster-migrate", replies: map[string]string{"cidx_service.real": broken}, code: 2,
			calls: join(precheck("real"), rehearsal, warm, stop[:2], failed), shown: []string{`Migration failed at "Stop the server"`},
		},
		"a load that fails": {
			playbook: "cluster-migrate", replies: map[string]string{"cidx_database.real.load": broken}, code: 2,
			calls: join(precheck("real"), rehearsal, warm, stop, move[:1], failed), shown: []string{"broken pipe", `Migration failed at "Load the databases into PostgreSQL"`},
			hidden: "Step 2/5",
		},
		"a failure of which the node cannot tell": {
			playbook: "cluster-migrate", replies: map[string]string{"cidx_aliases.real": broken, "cidx_report.real": broken}, code: 2,
			calls: join(precheck("real"), rehearsal, warm, stop, move[:4], failed),
			shown: []string{"resume:    ansible-playbook -i /", "/hosts.yml cluster-migrate.yml -l node1\n", "roll back: ansible-playbook -i /", "/hosts.yml cluster-rollback.yml -l node1\n", "sudo systemctl stop cidx-server", "config.json.pre-cluster", "sudo systemctl start cidx-server"},
		},
		"a verification that fails": {
			playbook: "cluster-migrate", replies: map[string]string{"cidx_verify.real.cluster": broken}, code: 2,
			calls: join(precheck("real"), rehearsal, warm, stop, move, finish[:3], failed),
		},
		"a server migrated before": {
			playbook: "cluster-migrate",
			replies:  map[string]string{"cidx_precheck.real": unchanged + `, "migrated": true, "resuming": false`, "cidx_verify.real": unchanged, "cidx_report.real": unchanged},
			calls:    join(precheck("real"), []string{"verify real cluster", "report real already"}), shown: []string{"changed=0", "every step up to the verification is skipped"},
		},
		"a rehearsal on a server migrated before": {
			playbook: "cluster-migrate", args: []string{"--check"},
			replies: map[string]string{"cidx_precheck.check": unchanged + `, "migrated": true`, "cidx_verify.check": unchanged, "cidx_report.check": unchanged},
			calls:   join(precheck("check"), []string{"verify check cluster", "report check already"}), shown: []string{"changed=0"},
		},
		"a run that was interrupted after the cut-over": {
			playbook: "cluster-migrate", replies: map[string]string{"cidx_precheck.real": unchanged + `, "migrated": true, "resuming": true`},
			calls: join(precheck("real"), finish), shown: []string{"every step up to the start is skipped"},
		},
		"a rollback": {
			playbook: "cluster-rollback",
			calls:    join(rollback, back),
		},
		"a rollback without PostgreSQL": {
			playbook: "cluster-rollback", replies: map[string]string{"cidx_database.real": broken},
			calls: join(rollback, back),
			shown: []string{"cannot be listed; the rollback goes on", "broken pipe"},
		},
		"a rollback that fails": {
			playbook: "cluster-rollback", replies: map[string]string{"cidx_config.real.standalone": broken}, code: 2,
			calls: join(rollback, failed),
			shown: []string{"broken pipe", `The rollback stopped at "Bring configuration and folders back"`, "it goes on there: ansible-playbook -i /", "/hosts.yml cluster-rollback.yml -l node1"},
		},
		"a rollback where nothing is left to do": {
			playbook: "cluster-rollback", replies: map[string]string{"cidx_config.check": unchanged + `, "plan": [], "unfinished": false`, "cidx_verify.real": unchanged},
			calls: []string{"config check standalone", "verify real standalone"}, shown: []string{"nothing was changed", "changed=0"},
		},
		"a rollback that was interrupted before the release": {
			playbook: "cluster-rollback", replies: map[string]string{"cidx_config.check": unchanged + `, "plan": [], "unfinished": true`, "cidx_config.real": unchanged + `, "plan": [], "unfinished": true`},
			calls: join(rollback, back),
		},
		"a verification":     {playbook: "cluster-verify", calls: []string{"verify real cluster", "database real verify", "report real verified"}},
		"only the prechecks": {playbook: "cluster-migrate", args: []string{"--tags", "precheck"}, calls: join(precheck("real"), rehearsal)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFlow(t, test.replies)
			out, code := s.output("ansible-playbook", append([]string{test.playbook + ".yml", "-l", "node1"}, test.args...)...)
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if diff := cmp.Diff(test.calls, s.calls()); diff != "" {
				t.Errorf("calls differ:\n%s", diff)
			}
			wantAll(t, out, test.shown...)
			if test.hidden != "" && strings.Contains(out, test.hidden) {
				t.Errorf("%q is shown", test.hidden)
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}

func TestCallsThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"two hosts without -l":         {nil, "2 hosts are addressed (node1, node2), but the first node of a cluster is one server: name it with -l, for example -l node1"},
		"no home":                      {[]string{"-l", "node1", "-e", "cidx_home="}, "cidx_home is empty"},
		"a variable of the wrong type": {[]string{"-l", "node1", "-e", "cidx_verify_timeout=soon"}, "cidx_verify_timeout"},
		"a choice that does not exist": {[]string{"-l", "node1", "-e", "cidx_service_manager=docker"}, "cidx_service_manager"},
	} {
		playbooks := []string{"cluster-migrate"}
		if len(test.args) == 0 {
			playbooks = []string{"cluster-migrate", "cluster-rollback"} // accept is no part of this flow; precheck, verify and node take several
		}
		for _, playbook := range playbooks {
			t.Run(fmt.Sprintf("%s: %s", playbook, name), func(t *testing.T) {
				s := newFlow(t, nil)
				out, code := s.output("ansible-playbook", append([]string{playbook + ".yml"}, test.args...)...)
				if code != 2 {
					t.Errorf("exit code %d", code)
				}
				wantAll(t, out, test.want)
				if calls := s.calls(); len(calls) > 0 {
					t.Errorf("something was done: %q", calls)
				}
			})
		}
	}
}

func TestPlaybooksHaveNamesForTheCollection(t *testing.T) {
	s := newFlow(t, nil)
	out, code := s.output("ansible-playbook", "cidx.cluster.cluster_verify", "-l", "node1")
	if code != 0 || len(s.calls()) != 3 {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}
