package protocol

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

const repository = "../.."

// trial builds the helper with cidx_trial, once.
var trial = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "cidx-trial-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "helper")
	build := exec.Command("go", "build", "-ldflags", "-s -w -X cidx-cluster/modules/internal/ansible.Build=trial", "-o", path, "./modules/internal/ansible/trial")
	build.Dir = repository
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build trial: %w\n%s", err, out)
	}
	return os.ReadFile(path)
})

// stage is a copy of the collection with a helper of its own, an inventory of
// two hosts that both are this machine, and a helper folder.
type stage struct {
	*testing.T
	dir    string // the collection's root
	cache  string // cidx_helper_dir
	home   string // cidx_home
	helper []byte
}

func newStage(t *testing.T) *stage {
	t.Helper()
	t.Parallel()
	helper, err := trial()
	if err != nil {
		t.Fatal(err)
	}
	s := bareStage(t, helper)
	s.write("plugins/action/cidx_trial.py", "from ansible_collections.cidx.cluster.plugins.plugin_utils.helper import HelperAction as ActionModule  # noqa: F401\n")
	s.write("plugins/modules/cidx_trial.py", "# only for tests\n")
	return s
}

// bareStage stages any program as the helper.
func bareStage(t *testing.T, helper []byte) *stage {
	t.Helper()
	dir := t.TempDir()
	s := &stage{T: t, dir: filepath.Join(dir, "collection"), cache: filepath.Join(dir, "cache"), home: filepath.Join(dir, "home"), helper: helper}
	if err := os.MkdirAll(s.home, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.kill(processes(s.cache)...) }) // what a failed test left behind
	for _, folder := range []string{"plugins", "roles", "playbooks", "meta"} {
		if err := os.CopyFS(filepath.Join(s.dir, folder), os.DirFS(filepath.Join(repository, folder))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"ansible.cfg", "galaxy.yml", "cluster-migrate.yml", "cluster-rollback.yml", "cluster-precheck.yml", "cluster-verify.yml"} {
		raw, err := os.ReadFile(filepath.Join(repository, name))
		if err != nil {
			t.Fatal(err)
		}
		s.write(name, string(raw))
	}
	link := filepath.Join(s.dir, "collections/ansible_collections/cidx/cluster")
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../..", link); err != nil {
		t.Fatal(err)
	}
	s.ship(map[string][]byte{runtime.GOARCH: helper})
	s.write("hosts.yml", fmt.Sprintf("all:\n  hosts:\n    node1:\n    node2:\n  vars:\n    ansible_connection: local\n    ansible_python_interpreter: \"{{ ansible_playbook_python }}\"\n    cidx_home: %s\n    cidx_helper_dir: %s\n    cidx_report_dir: %s\n",
		s.home, s.cache, filepath.Join(dir, "reports")))
	return s
}

// with is the same stage for a sub-test.
func (s *stage) with(t *testing.T) *stage {
	sub := *s
	sub.T = t
	return &sub
}

// ship puts helpers into files/, as build/helper.sh does.
func (s *stage) ship(helpers map[string][]byte) {
	s.Helper()
	sums := map[string]string{}
	for arch, helper := range helpers {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		if _, err := w.Write(helper); err != nil {
			s.Fatal(err)
		}
		if err := w.Close(); err != nil {
			s.Fatal(err)
		}
		s.write("files/cidx-helper-linux-"+arch+".gz", packed.String())
		sums[arch] = fmt.Sprintf("%x", sha256.Sum256(helper))
	}
	s.manifest("trial", sums)
}

func (s *stage) manifest(build string, sums map[string]string) {
	s.Helper()
	raw, err := json.Marshal(map[string]any{"build": build, "sha256": sums})
	if err != nil {
		s.Fatal(err)
	}
	s.write("files/cidx-helper.json", string(raw))
}

func (s *stage) write(path, content string) {
	s.Helper()
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.dir, path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		s.Fatal(err)
	}
}

func (s *stage) path(name string) string { return filepath.Join(filepath.Dir(s.dir), name) }

// command is a program of Ansible in the stage.
func (s *stage) command(program string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	s.Cleanup(cancel)
	c := exec.CommandContext(ctx, program, append([]string{"-i", "hosts.yml"}, args...)...)
	c.Dir = s.dir
	c.WaitDelay = 5 * time.Second
	c.Env = append(os.Environ(), "ANSIBLE_NOCOLOR=1", "ANSIBLE_CALLBACK_RESULT_FORMAT=json", "ANSIBLE_INVENTORY=", "ANSIBLE_CONFIG="+filepath.Join(s.dir, "ansible.cfg"),
		"ANSIBLE_LOCAL_TEMP="+s.path("tmp"), "ANSIBLE_REMOTE_TEMP="+s.path("tmp"), "PYTHONDONTWRITEBYTECODE=1", "PWD="+s.dir)
	return c
}

// output runs a program of Ansible and returns what it prints and its exit code.
func (s *stage) output(program string, args ...string) (string, int) {
	s.Helper()
	out, err := s.command(program, args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.Fatal(err)
	}
	if exit != nil {
		return string(out), exit.ExitCode()
	}
	return string(out), 0
}

// play writes tasks into a playbook and runs it on node1.
func (s *stage) play(tasks string, args ...string) (string, int) {
	s.Helper()
	return s.output("ansible-playbook", append([]string{"-l", "node1", s.playbook(tasks)}, args...)...)
}

func (s *stage) playbook(tasks string) string {
	s.Helper()
	name := fmt.Sprintf("play-%x.yml", sha256.Sum256([]byte(tasks)))[:20] + ".yml"
	s.write(name, "- hosts: all\n  gather_facts: false\n  tasks:\n"+tasks)
	return name
}

// task is one call of cidx_trial with JSON arguments.
func (s *stage) task(args map[string]any) string {
	s.Helper()
	args["home"] = s.home
	raw, err := json.Marshal(args)
	if err != nil {
		s.Fatal(err)
	}
	return fmt.Sprintf("    - cidx.cluster.cidx_trial: %s\n      register: r\n", raw)
}

// adhoc runs a module with ansible and returns its reply.
func (s *stage) adhoc(args ...string) map[string]any {
	s.Helper()
	out, _ := s.output("ansible", append([]string{"node1"}, args...)...)
	_, text, ok := strings.Cut(out, "=> {")
	if !ok {
		s.Fatalf("no reply in %s", out)
	}
	var reply map[string]any
	if err := json.NewDecoder(strings.NewReader("{" + text)).Decode(&reply); err != nil {
		s.Fatalf("%v in %s", err, out)
	}
	return reply
}

// jobs are the ids of the jobs in the cache.
func (s *stage) jobs() []string {
	s.Helper()
	paths, err := filepath.Glob(filepath.Join(s.cache, "jobs", "*"))
	if err != nil {
		s.Fatal(err)
	}
	return paths
}

func (s *stage) eventually(what string, ok func() bool) {
	s.Helper()
	for end := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(end) {
			s.Fatal("waited in vain for " + what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// processes are those whose command line holds every word.
func processes(words ...string) []int {
	found := []int{}
	entries, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well-formed
	for _, path := range entries {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		line := strings.ReplaceAll(string(raw), "\x00", " ")
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		var pid int
		if _, err := fmt.Sscanf(path, "/proc/%d/", &pid); all && err == nil && pid != os.Getpid() {
			found = append(found, pid)
		}
	}
	return found
}

func wantAll(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			t.Errorf("%q is missing in:\n%s", w, text)
		}
	}
}
