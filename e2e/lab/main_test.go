package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// machine is the first lab of a run.
var machine *Lab

// free are the labs in which no scenario is under way; each scenario begins with
// Fresh. Two at a time keep two cores busy: a playbook is mostly one process.
var free = make(chan *Lab, lanes)

const lanes = 2

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
	labs, err := stageAll()
	defer func() {
		for _, l := range labs {
			if err := l.Down(); err != nil {
				fmt.Fprintln(os.Stderr, "lab:", err)
			}
		}
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 1
	}
	machine = labs[0]
	for _, l := range labs {
		free <- l
	}
	return m.Run()
}

// impossible is why scenarios are skipped.
var impossible string

// stageAll builds what is needed and stages the labs; those that stand are
// returned with an error, too.
func stageAll() ([]*Lab, error) {
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
	var all sync.WaitGroup
	found, errs := make([]*Lab, lanes), make([]error, lanes)
	for i := range lanes {
		all.Go(func() { found[i], errs[i] = Up(ctx, repo) })
	}
	all.Wait()
	return slices.DeleteFunc(found, func(l *Lab) bool { return l == nil }), errors.Join(errs...)
}
