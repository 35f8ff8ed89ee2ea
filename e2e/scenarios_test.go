package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScenarios runs testdata/*.txtar. The commands that scripts may use are
// methods of stage; each is explained at its method.
func TestScenarios(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition:           condition,
		Setup: func(env *testscript.Env) error {
			st := &stage{work: env.WorkDir, folder: repo}
			env.Values[stageKey{}] = st
			env.Defer(st.down)
			env.Setenv("REPO", repo)
			env.Setenv("PATH", bin+":"+os.Getenv("PATH"))
			env.Setenv("PYTHONDONTWRITEBYTECODE", "1")
			return nil
		},
		Cmds: commands(map[string]func(*stage, *call) error{
			"sandbox":   (*stage).sandboxUp,
			"playbook":  (*stage).playbook,
			"page":      (*stage).page,
			"printed":   (*stage).printed,
			"installed": (*stage).installed,
			"stand":     (*stage).stand,
			"judge":     (*stage).judge,
			"server":    (*stage).server,
			"join":      (*stage).join,
			"fault":     (*stage).fault,
			"postgres":  (*stage).postgres,
			"psql":      (*stage).psql,
			"share":     (*stage).share,
			"sqlite":    (*stage).sqlite,
			"json":      (*stage).json,
			"dsn":       (*stage).dsn,
			"cmpshape":  (*stage).cmpshape,
			"narrow":    (*stage).narrow,
			"login":     (*stage).login,
			"seedrows":  (*stage).seedrows,
			"leaks":     (*stage).leaks,
			"write":     (*stage).write,
			"api":       (*stage).api,
			"node2":     further("node2"),
			"node3":     further("node3"),
			"byroot":    (*stage).byroot,
			"report":    (*stage).report,
			"forecast":  (*stage).forecast,
			"child":     (*stage).indexes,
		}),
	})
}

// condition knows [root]: the caller may give files to other accounts,
// [strace]: it is installed, and [full]: what other tests show as well is run, too.
func condition(name string) (bool, error) {
	switch name {
	case "root":
		return os.Geteuid() == 0, nil
	case "full":
		return os.Getenv("LAB") == "full", nil
	}
	if name == "strace" {
		_, err := exec.LookPath("strace")
		return err == nil, nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}
