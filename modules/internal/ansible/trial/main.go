// Command trial is a helper with one harmless module, cidx_trial, for tests of
// the protocol with a real Ansible (e2e/protocol).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/process"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/secret"
)

type args struct {
	home.Common
	Act      string   `arg:"act" choices:"ok,change,fail,panic,crash,print,secret,wait,deaf,become" default:"ok"`
	File     string   `arg:"file" kind:"path"`
	Number   int      `arg:"number" default:"1"`
	Flag     bool     `arg:"flag"`
	List     []string `arg:"list"`
	Password string   `arg:"password" secret:"true"`
}

func main() {
	os.Exit(ansible.Main(os.Args, []ansible.Module{module()}))
}

func module() ansible.Module {
	return ansible.New(ansible.Spec{Name: "cidx_trial"}, run)
}

func run(ctx context.Context, a args, mode ansible.Mode) (ansible.Reply, error) {
	progress.Line(ctx, "Trying %s", a.Act)
	reply := ansible.Reply{Msg: "tried " + a.Act, Data: map[string]any{"number": a.Number, "flag": a.Flag, "list": a.List, "check": mode.Check}}
	switch a.Act {
	case "change":
		return change(a, mode, reply)
	case "fail":
		return reply, problem.List{
			{What: "share is not mounted", At: "/mnt/cidx", Fix: "mount it"},
			{What: "no space", At: "/mnt/cidx", Fix: "free some"},
		}
	case "panic":
		panic("with " + a.Password)
	case "crash":
		go func() { panic("with " + a.Password) }()
		select {}
	case "print":
		fmt.Println(`{"stray": "print"}`)
	case "secret":
		return leak(ctx, a)
	case "wait":
		return wait(ctx, a, reply)
	case "deaf":
		select {}
	case "become":
		return become(reply)
	}
	return reply, nil
}

// become starts this program again, as whoever it is by now.
func become(reply ansible.Reply) (ansible.Reply, error) {
	reply.Msg = "started as " + process.UserName(os.Geteuid())
	return reply, exec.Command("/proc/self/exe", "version").Run()
}

// change writes the file unless it is there.
func change(a args, mode ansible.Mode, reply ansible.Reply) (ansible.Reply, error) {
	if _, err := os.Stat(a.File); err == nil {
		return reply, nil
	}
	reply.Changed = true
	if mode.Diff {
		reply.Diff = []ansible.Diff{{BeforeHeader: a.File, AfterHeader: a.File, After: "changed\n"}}
	}
	if mode.Check {
		return reply, nil
	}
	return reply, os.WriteFile(a.File, []byte("changed\n"), 0o644)
}

// leak says every secret it knows, in every way there is.
func leak(ctx context.Context, a args) (ansible.Reply, error) {
	secret.Keep(ctx, "read-from-a-file")
	progress.Line(ctx, "line with %s and read-from-a-file", a.Password)
	progress.Report(ctx, progress.Status{What: a.Password, Done: 1, Total: 2, Unit: "rows", Note: "read-from-a-file"})
	fmt.Fprintln(os.Stderr, "log with", a.Password)
	return ansible.Reply{
		Msg:      "msg " + a.Password,
		Warnings: []string{"warning " + a.Password},
		Diff:     []ansible.Diff{{Before: a.Password, After: "read-from-a-file"}},
		Data:     map[string]any{"nested": map[string]any{a.Password: []string{"x" + a.Password + "y"}}},
	}, errors.New("error with " + a.Password)
}

// wait tells its progress until the file appears.
func wait(ctx context.Context, a args, reply ansible.Reply) (ansible.Reply, error) {
	for n := int64(1); ; n++ {
		if _, err := os.Stat(a.File); err == nil {
			progress.Line(ctx, "The file is there")
			reply.Changed = true
			return reply, nil
		}
		progress.Report(ctx, progress.Status{What: "waiting", Done: n, Total: 1000, Unit: "looks", Rate: 20})
		select {
		case <-ctx.Done():
			reply.Data["looks"] = n
			return reply, fmt.Errorf("wait for %s: %w", a.File, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
