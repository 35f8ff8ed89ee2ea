package share

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cidx-cluster/modules/internal/hungtest"
)

func TestGuardPassesOnWhatTheWorkReturns(t *testing.T) {
	cause := errors.New("disk full")
	got, err := Guard(context.Background(), Watch{Mount: t.TempDir()}, 0, func(context.Context) (int, error) { return 3, cause })
	if got != 3 || !errors.Is(err, cause) {
		t.Errorf("got %d, %v; want 3, %v", got, err, cause)
	}
}

func TestGuardEndsWorkThatHangsOnAShare(t *testing.T) {
	dir := hungtest.Share(t)
	start := time.Now()
	got, err := Guard(context.Background(), Watch{Mount: dir, Silence: 100 * time.Millisecond, Patience: time.Second}, "given up", func(context.Context) (string, error) {
		_, err := os.Stat(dir + "/golden-repos")
		return "done", err
	})
	mustProblem(t, err, "does not answer")
	if got != "given up" {
		t.Errorf("got %q", got)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v with a silence of 0.1 s and a patience of 1 s", took)
	}
}

func TestGuardTellsWithinTenSeconds(t *testing.T) {
	if Silence+Patience >= 10*time.Second {
		t.Errorf("a share that hangs is told after %v", Silence+Patience)
	}
}

// The share is not asked while the work moves: an answer may take long just then.
func TestGuardLeavesWorkAloneThatMoves(t *testing.T) {
	dir := hungtest.Share(t)
	var steps atomic.Int64
	w := Watch{Mount: dir, Moves: steps.Load, Silence: time.Second, Patience: 100 * time.Millisecond}
	_, err := Guard(context.Background(), w, false, func(context.Context) (bool, error) {
		for range 15 {
			steps.Add(1)
			time.Sleep(100 * time.Millisecond)
		}
		return true, nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestGuardLeavesTheLastWordToInterruptedWork(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cause := errors.New("stopped after 3 of 5")
	_, err := Guard(ctx, Watch{Mount: t.TempDir(), Silence: 10 * time.Millisecond}, false, func(ctx context.Context) (bool, error) {
		cancel()
		<-ctx.Done()
		return false, cause
	})
	if !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
}

func TestGuardPanicsInItsCallerWithTheStackOfTheWork(t *testing.T) {
	defer func() {
		if text, _ := recover().(string); !strings.Contains(text, "no such table") || !strings.Contains(text, "guard_test.go") {
			t.Errorf("recovered %q", text)
		}
	}()
	_, _ = Guard(context.Background(), Watch{Mount: t.TempDir()}, false, func(context.Context) (bool, error) { panic("no such table") })
	t.Error("no panic")
}
