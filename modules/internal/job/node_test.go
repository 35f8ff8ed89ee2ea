package job

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/scratch"
)

// The test binary is also the job: TestMain works when it is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "work" {
		store, err := Open()
		if err == nil {
			err = store.Work(os.Args[2], act)
		}
		if err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// act does what its input says, one word a line.
func act(ctx context.Context, r Request, input []byte, sink progress.Sink) []byte {
	turn := NewTurn(r)
	err := Await(ctx, turn.Try, func(busy string) {
		sink(progress.Event{Time: time.Now(), Status: &progress.Status{What: "waiting for a job that an earlier run left: " + busy}})
	})
	if err != nil {
		return fmt.Appendf(nil, `{"failed":true,"msg":%q}`, err.Error())
	}
	defer turn.Leave()
	say := func(text string) { sink(progress.Event{Time: time.Now(), Line: &text}) }
	for word := range strings.FieldsSeq(string(input)) {
		verb, value, _ := strings.Cut(word, "=")
		switch verb {
		case "say":
			say(value)
		case "await":
			for !exists(value) && ctx.Err() == nil {
				time.Sleep(5 * time.Millisecond)
			}
		case "status":
			sink(progress.Event{Time: time.Now(), Status: &progress.Status{What: value, Done: 1, Total: 3, Unit: "rows"}})
		case "crash":
			go func() { panic("secret-in-a-panic") }()
			select {}
		case "bytes":
			n, _ := strconv.Atoi(value)
			return fmt.Appendf(nil, `{"failed":false,"changed":true,"msg":"big","pad":%q}`, strings.Repeat("x", n))
		}
	}
	return fmt.Appendf(nil, `{"failed":false,"interrupted":%t}`, ctx.Err() != nil)
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// node is a helper's folder and the means to work in it.
type node struct {
	*testing.T
	Store
	flag string // file that lets "await" go on
}

func newNode(t *testing.T) node {
	t.Helper()
	dir := t.TempDir()
	t.Setenv(scratch.HelperFolder, dir)
	store, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	n := node{t, store, filepath.Join(dir, "flag")}
	t.Cleanup(func() {
		os.WriteFile(n.flag, nil, 0o600)
		for _, id := range n.ids() {
			n.eventually("the end of "+id, func() bool { return !n.living(id) })
		}
	})
	return n
}

// state is the state folder of a home, which is there.
func (n node) state(home string) string { return filepath.Join(n.dir, "state-of-"+filepath.Base(home)) }

func (n node) ids() []string {
	entries, err := os.ReadDir(n.jobs())
	if err != nil {
		n.Fatal(err)
	}
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	return ids
}

func (n node) eventually(what string, ok func() bool) {
	n.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(end) {
			n.Fatal("waited in vain for " + what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (n node) start(r Request, input string) (string, error) {
	n.Helper()
	if r.Hash == "" {
		r.Hash = input
	}
	if r.Time.IsZero() {
		r.Time = time.Now().UTC()
	}
	r.State = n.state(r.Home)
	return n.Start(context.Background(), r, []string{os.Args[0], "work"}, []byte(input))
}

func (n node) mustStart(r Request, input string) string {
	n.Helper()
	id, err := n.start(r, input)
	if err != nil {
		n.Fatal(err)
	}
	return id
}

// lines follows a job to its end.
func (n node) lines(id string) (lines []string, reply map[string]any) {
	n.Helper()
	for offset := int64(0); ; {
		news, err := n.Follow(context.Background(), id, offset)
		if err != nil {
			n.Fatal(err)
		}
		offset = news.Offset
		for _, e := range news.Events {
			if e.Line != nil {
				lines = append(lines, *e.Line)
			}
		}
		if news.Done {
			if err := json.Unmarshal(news.Reply, &reply); err != nil {
				n.Fatalf("reply %q: %v", news.Reply, err)
			}
			return lines, reply
		}
	}
}

func (n node) pid(id string) int {
	n.Helper()
	var pid int
	n.eventually("the pid", func() bool {
		raw, _ := os.ReadFile(filepath.Join(n.jobs(), id, "pid"))
		pid, _ = strconv.Atoi(string(raw))
		return pid > 0
	})
	return pid
}
