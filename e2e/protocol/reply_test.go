package protocol

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNativeAndPluginGiveTheSameReply(t *testing.T) {
	stage := newStage(t)
	stage.write("library/cidx_trial", string(stage.helper))
	for name, args := range map[string]string{
		"success":         `number=5432 flag=yes list=a,b`,
		"failure":         `act=fail`,
		"a panic":         `act=secret password=hunter22-secret`,
		"wrong arguments": `act=hop number=x unknwn=1`,
		"a stray print":   `act=print`,
	} {
		t.Run(name, func(t *testing.T) {
			s := stage.with(t)
			args := "home=" + t.TempDir() + " " + args // of its own: the lease is the home's
			native := s.adhoc("-M", "library", "-m", "cidx_trial", "-a", args)
			plugin := s.adhoc("-m", "cidx.cluster.cidx_trial", "-a", args)
			if diff := cmp.Diff(native, plugin); diff != "" {
				t.Errorf("native and plugin differ:\n%s", diff)
			}
		})
	}
}

func TestArgumentsKeepTheirTypes(t *testing.T) {
	s := newStage(t)
	out, code := s.play(`    - cidx.cluster.cidx_trial: {home: "{{ cidx_home }}", number: "{{ '5432' | int }}", flag: "{{ 'yes' }}", list: "{{ ['a', 'b'] }}", file: "{{ omit }}", password: null}
      register: r
    - ansible.builtin.debug: {msg: "number {{ r.number }} flag {{ r.flag }} list {{ r.list | join('+') }}"}
`)
	if code != 0 {
		t.Error(out)
	}
	wantAll(t, out, "number 5432 flag True list a+b")
}

func TestMistakesAreToldAllAtOnce(t *testing.T) {
	s := newStage(t)
	out, code := s.play(s.task(map[string]any{"act": "hop", "number": "x", "flga": true}))
	if code != 2 {
		t.Errorf("exit code %d", code)
	}
	wantAll(t, out, "3 problems:", `act: unknown choice "hop" (fix: give one of ok, change`, `number: not a int: "x"`, `unknown argument "flga" (fix: did you mean flag?`)
	if jobs := s.jobs(); len(jobs) != 0 {
		t.Errorf("a job was started: %q", jobs)
	}
}

func TestCheckModeAndDiff(t *testing.T) {
	s := newStage(t)
	file := s.path("made")
	task := s.task(map[string]any{"act": "change", "file": file})
	out, _ := s.play(task, "--check", "--diff")
	wantAll(t, out, "changed=1", "+changed")
	if _, err := os.Stat(file); err == nil {
		t.Fatal("check mode changed something")
	}
	out, _ = s.play(task)
	wantAll(t, out, "changed=1")
	if _, err := os.Stat(file); err != nil || strings.Contains(out, "+changed") {
		t.Errorf("the real run: %v\n%s", err, out)
	}
	out, _ = s.play(task)
	wantAll(t, out, "changed=0")
}

func TestARehearsalInARealRunIsQuiet(t *testing.T) {
	s := newStage(t)
	out, code := s.play(s.task(map[string]any{"act": "change", "file": s.path("made")})+"      check_mode: true\n", "--diff")
	if code != 0 || strings.Contains(out, "Trying") || strings.Contains(out, "+changed") {
		t.Errorf("code %d:\n%s", code, out)
	}
	wantAll(t, out, "tried change", "changed=0")
}

func TestLinesAndStepsAreShown(t *testing.T) {
	s := newStage(t)
	for callback, wanted := range map[string][]string{
		"cidx.cluster.steps": {"\n\nStep 1/5: Try\nTrying ok\n", "node1 : ok=1"},
		"default":            {"\n\nStep 1/5: Try\nTrying ok\n", "PLAY RECAP"},
	} {
		t.Run(callback, func(t *testing.T) {
			c := s.command("ansible-playbook", "-l", "node1", s.playbook(s.task(map[string]any{"step": "Step 1/5: Try"})))
			c.Env = append(c.Env, "ANSIBLE_STDOUT_CALLBACK="+callback)
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatal(err)
			}
			wantAll(t, "\n\n"+string(out), wanted...)
		})
	}
}

// What a program reads from standard output (the json callback) must not have
// lines of a transcript in it.
func TestLinesGoToStandardErrorForOtherCallbacks(t *testing.T) {
	s := newStage(t)
	c := s.command("ansible-playbook", "-l", "node1", s.playbook(s.task(map[string]any{})))
	c.Env = append(c.Env, "ANSIBLE_STDOUT_CALLBACK=minimal")
	out, err := c.Output()
	if err != nil || strings.Contains(string(out), "\nTrying ok\n") {
		t.Errorf("%v:\n%s", err, out)
	}
}

func TestFailureIsShownCompletely(t *testing.T) {
	s := newStage(t)
	out, code := s.play(s.task(map[string]any{"act": "fail"}))
	if code != 2 {
		t.Errorf("exit code %d", code)
	}
	wantAll(t, out, "FAILED [node1: cidx.cluster.cidx_trial]\ntried fail:\n  - /mnt/cidx: share is not mounted (fix: mount it)\n  - /mnt/cidx: no space (fix: free some)\n")
}

func TestNoSecretIsShownOrKept(t *testing.T) {
	s := newStage(t)
	const password = "hunter22-secret"
	s.write("vars.yml", "pw: "+password+"\n")
	tasks := ""
	for _, act := range []string{"ok", "secret", "panic", "crash"} {
		tasks += "    - cidx.cluster.cidx_trial: {home: \"{{ cidx_home }}\", act: " + act + ", password: \"{{ pw }}\"}\n      ignore_errors: true\n"
	}
	for _, callback := range []string{"cidx.cluster.steps", "default"} {
		c := s.command("ansible-playbook", "-l", "node1", "-e", "@vars.yml", "-vvvv", "--diff", s.playbook(tasks))
		c.Env = append(c.Env, "ANSIBLE_STDOUT_CALLBACK="+callback, "ANSIBLE_LOG_PATH="+s.path("log"))
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if strings.Contains(string(out), password) || strings.Contains(string(out), "read-from-a-file") {
			t.Errorf("%s shows a secret:\n%s", callback, out)
		}
		wantAll(t, string(out), "********")
	}
	if err := os.Remove(filepath.Join(s.dir, "vars.yml")); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(filepath.Dir(s.dir), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(d.Name(), "h-") {
			return err
		}
		if raw, err := os.ReadFile(path); err != nil || strings.Contains(string(raw), password) {
			t.Errorf("%s holds the password (%v)", path, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNoLogSilencesTheLines(t *testing.T) {
	s := newStage(t)
	out, _ := s.play(s.task(map[string]any{}) + "      no_log: true\n")
	if strings.Contains(out, "Trying") {
		t.Error(out)
	}
}

func TestModuleDefaultsReachTheGroup(t *testing.T) {
	s := newStage(t)
	s.write("group.yml", "- hosts: node1\n  gather_facts: false\n  module_defaults:\n    group/cidx.cluster.all: {home: relative}\n  tasks:\n    - cidx.cluster.cidx_trial: {}\n")
	s.write("meta/runtime.yml", "---\nrequires_ansible: '>=2.14.0'\naction_groups:\n  all:\n    - cidx_trial\n")
	out, _ := s.output("ansible-playbook", "group.yml")
	wantAll(t, out, `home: not an absolute path: "relative"`)
}

func TestDocumentationIsFound(t *testing.T) {
	s := newStage(t)
	c := s.command("ansible-doc", "cidx.cluster.cidx_files")
	c.Args = append(c.Args[:1], c.Args[3:]...) // ansible-doc has no inventory
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	wantAll(t, string(out), "cidx_files", "phase", "home")
}
