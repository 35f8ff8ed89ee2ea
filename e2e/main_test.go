// Package e2e tries the tool as a whole: real ansible-playbook, PostgreSQL,
// rsync and git, a stand-in for the CIDX server, and a judge that shares no
// code with the modules. Every file of testdata is one behaviour, named by its
// verdict; README.md explains the programs, stage_test.go the commands.
package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"cidx-cluster/e2e/sandbox"
)

// repo is the repository's root; bin and cache lie in its .build folder.
var repo, bin, cache string

func TestMain(m *testing.M) {
	// A scenario waits for a third of its time: one more than there are processors.
	err := flag.Set("test.parallel", strconv.Itoa(runtime.GOMAXPROCS(0)+1))
	if err == nil {
		err = prepare()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := sandbox.Sweep(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
	}
	os.Exit(code)
}

// prepare makes sure that this process may mount, that nothing of a killed run
// is left, and that the programs under test are those of this checkout.
func prepare() error {
	if err := mayMount(); err != nil {
		return err
	}
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	repo, bin, cache = root, filepath.Join(root, ".build", "bin"), filepath.Join(root, ".build", "cache")
	if err := sandbox.Sweep(); err != nil {
		return err
	}
	for _, build := range [][]string{
		{"go", "build", "-o", bin + "/", "./e2e/cmd/..."},
		{filepath.Join(root, "build", "helper.sh")},
	} {
		cmd := exec.Command(build[0], build[1:]...)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", filepath.Base(build[0]), err, out)
		}
	}
	return nil
}

// entered marks a process that already is in a namespace of its own.
const entered = "CIDX_SANDBOX_ENTERED"

// mayMount enters a user namespace when the caller is an ordinary user.
func mayMount() error {
	if sandbox.CanMount() {
		return nil
	}
	if os.Getenv(entered) != "" {
		return errors.New("mount a file system: not permitted, not even in a user namespace: run the tests as root")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Setenv(entered, "1"); err != nil {
		return err
	}
	return sandbox.Enter(append([]string{self}, os.Args[1:]...))
}
