package program

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestExec(t *testing.T) {
	run := func(script string, timeout time.Duration) (Output, error) {
		return Exec{}.Run(context.Background(), Command{Argv: []string{"/bin/sh", "-c", script}, Timeout: timeout})
	}
	if out, err := run("echo out; echo err >&2", time.Second*5); err != nil || out.Text != "out\n" || out.Code != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	if out, err := run("echo out; echo err >&2; exit 9", time.Second*5); err != nil || out.Code != 9 || out.Brief() != "out err" {
		t.Errorf("%+v, %v", out, err)
	}
	if out, err := run("exit 9", time.Second*5); err != nil || out.Brief() != "(it printed nothing)" {
		t.Errorf("%+v, %v", out, err)
	}
	start := time.Now()
	if _, err := run("sleep 60 & sleep 60", 200*time.Millisecond); !errors.Is(err, ErrDeadline) || time.Since(start) > 10*time.Second {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
	if _, err := run("kill -9 $$", time.Second*5); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("killed: %v", err)
	}
	if _, err := (Exec{}).Run(context.Background(), Command{Argv: []string{"/no/such/program"}, Timeout: time.Second}); err == nil {
		t.Error("a program that does not exist ran")
	}
	start = time.Now()
	if out, err := run("(sleep 20; echo late) & echo early", 30*time.Second); err != nil || out.Text != "early\n" || time.Since(start) > 10*time.Second {
		t.Errorf("a child that holds the output: %+v, %v after %s", out, err, time.Since(start))
	}
}
