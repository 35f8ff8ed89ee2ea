package errand

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/problem"
)

type sum struct{ A, B int }

var add = New("add", func(_ context.Context, s sum) (int, error) {
	if s.A < 0 {
		return 0, problem.Problem{What: "negative", At: "A", Fix: "give another one"}
	}
	return s.A + s.B, nil
})

var open = New("open", func(_ context.Context, path string) (*os.File, error) { return os.Open(path) })

// served is a context whose errands another goroutine does, as the child would.
func served(t *testing.T) context.Context {
	t.Helper()
	caller, socket, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- Serve(context.Background(), socket, []Any{add, open}) }()
	t.Cleanup(func() {
		caller.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		socket.Close()
	})
	return With(context.Background(), caller)
}

func TestAnErrandIsTheSameHereAndThere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, ctx := range map[string]context.Context{"in place": context.Background(), "in the child": served(t)} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				if got, err := add.Run(ctx, sum{2, 3}); got != 5 || err != nil {
					t.Errorf("got %d, %v", got, err)
				}
				f, err := open.Run(ctx, file)
				if err != nil {
					t.Fatal(err)
				}
				if raw, err := io.ReadAll(f); string(raw) != "content" || err != nil {
					t.Errorf("read %q, %v", raw, err)
				}
				f.Close()
				if _, err := open.Run(ctx, file+"-gone"); err == nil || !strings.Contains(err.Error(), "no such file") {
					t.Errorf("got %v", err)
				}
				_, err = add.Run(ctx, sum{-1, 0})
				if p := problem.Of(err); len(p) != 1 || p[0].Fix != "give another one" {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}

func TestAnErrandThatTheChildDoesNotKnowIsRefused(t *testing.T) {
	unknown := New("other", func(context.Context, int) (int, error) { return 0, nil })
	if _, err := unknown.Run(served(t), 1); err == nil || !strings.Contains(err.Error(), `unknown errand "other"`) {
		t.Errorf("got %v", err)
	}
}

// The child is not trusted: it cannot make root keep more than a limit.
func TestALineOfTheChildHasALimit(t *testing.T) {
	for text, want := range map[string]bool{strings.Repeat("x", 99) + "\n": true, strings.Repeat("x", 101) + "\n": false} {
		line, err := ReadLine(bufio.NewReaderSize(strings.NewReader(text), 16), 100)
		if (err == nil) != want || want && string(line) != text {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
	if _, err := ReadLine(bufio.NewReader(strings.NewReader("torn")), 100); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}
