package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// machine is the lab of all scenarios of a run; each begins with Fresh.
var machine *Lab

// whole tells whether the scenarios that take longer run too (make lab-full).
var whole = os.Getenv("LAB") == "full"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if reason := Impossible(); reason != "" {
		if os.Getenv("CI") == "true" {
			fmt.Fprintln(os.Stderr, "lab: impossible on this machine:", reason)
			return 1
		}
		impossible = reason
		return m.Run()
	}
	if err := Sweep(); err != nil {
		fmt.Fprintln(os.Stderr, "lab: sweep:", err)
		return 1
	}
	l, err := stageAll()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 1
	}
	machine = l
	defer func() {
		if err := l.Down(); err != nil {
			fmt.Fprintln(os.Stderr, "lab:", err)
		}
	}()
	return m.Run()
}

// impossible is why scenarios are skipped.
var impossible string

func stageAll() (*Lab, error) {
	repo, err := filepath.Abs("../..")
	if err != nil {
		return nil, err
	}
	for _, build := range [][]string{
		{"go", "build", "-o", filepath.Join(repo, ".build", "bin") + "/", "./e2e/cmd/..."},
		{filepath.Join(repo, "build", "helper.sh")},
	} {
		cmd := exec.Command(build[0], build[1:]...)
		cmd.Dir, cmd.Env = repo, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", filepath.Base(build[0]), err, out)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	return Up(ctx, repo)
}
