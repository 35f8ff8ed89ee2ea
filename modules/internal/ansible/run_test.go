package ansible

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/secret"
)

// call runs a module made of run and returns its reply.
func call(t *testing.T, input string, run func(context.Context, every, Mode) (Reply, error)) map[string]any {
	t.Helper()
	return parse(t, testModule(run).Run(context.Background(), []byte(input), nil))
}

func parse(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	if strings.Contains(string(raw), "\n") {
		t.Errorf("the reply has several lines: %s", raw)
	}
	var reply map[string]any
	if err := json.Unmarshal(raw, &reply); err != nil {
		t.Fatalf("reply %s: %v", raw, err)
	}
	return reply
}

func TestRunReplies(t *testing.T) {
	const plain = `{"home":"/h"}`
	two := problem.List{{What: "no space", At: "/mnt", Fix: "free some"}, {What: "too old"}}
	for name, test := range map[string]struct {
		input string
		reply Reply
		err   error
		want  map[string]any
	}{
		"success":                              {plain, Reply{Changed: true, Msg: "done"}, nil, map[string]any{"changed": true, "failed": false, "msg": "done", "check_mode": false}},
		"success in check mode":                {`{"home":"/h","_ansible_check_mode":true}`, Reply{}, nil, map[string]any{"check_mode": true}},
		"skipped":                              {plain, Reply{Skipped: "nothing there"}, nil, map[string]any{"skipped": true, "msg": "nothing there", "skip_reason": "nothing there"}},
		"own keys":                             {plain, Reply{Data: map[string]any{"rows": 3}}, nil, map[string]any{"rows": 3.0}},
		"own keys do not replace the protocol": {plain, Reply{Data: map[string]any{"failed": true, "changed": true}}, nil, map[string]any{"failed": false, "changed": false}},
		"one problem is the message":           {plain, Reply{}, two[0], map[string]any{"failed": true, "msg": "/mnt: no space (fix: free some)"}},
		"problems are listed":                  {plain, Reply{}, two, map[string]any{"failed": true, "msg": "2 problems:\n  - /mnt: no space (fix: free some)\n  - too old"}},
		"problems without an error fail too":   {plain, Reply{Problems: two}, nil, map[string]any{"failed": true}},
		"the module's own sentence leads":      {plain, Reply{Msg: "not ready"}, two, map[string]any{"msg": "not ready:\n  - /mnt: no space (fix: free some)\n  - too old"}},
		"a plain error":                        {plain, Reply{Changed: true}, errors.New("copy table: broken pipe"), map[string]any{"failed": true, "changed": true, "msg": "copy table: broken pipe"}},
		"what was done before the error":       {plain, Reply{Data: map[string]any{"done": "users"}}, errors.New("x"), map[string]any{"failed": true, "done": "users"}},
		"what cannot be encoded":               {plain, Reply{Data: map[string]any{"f": func() {}}}, nil, map[string]any{"failed": true, "changed": true}},
		"invalid UTF-8":                        {plain, Reply{Msg: "caf\xe9"}, nil, map[string]any{"msg": `caf\xe9`}},
		"wrong arguments":                      {`{}`, Reply{}, nil, map[string]any{"failed": true, "changed": false, "msg": "cidx_test: home: missing (fix: give an absolute path)"}},
	} {
		t.Run(name, func(t *testing.T) {
			reply := call(t, test.input, func(context.Context, every, Mode) (Reply, error) { return test.reply, test.err })
			for key, want := range test.want {
				if reply[key] != want {
					t.Errorf("%s: got %v, want %v", key, reply[key], want)
				}
			}
		})
	}
}

func TestARefusalThatMetSeveralStatementsIsToldOnce(t *testing.T) {
	same := problem.Problem{What: "no ddl here", At: "db", Fix: "allow it"}
	list := problem.List{same, same, {What: "another", At: "db"}, same}
	reply := call(t, `{"home":"/h"}`, func(context.Context, every, Mode) (Reply, error) { return Reply{}, list })
	if told := reply["problems"].([]any); len(told) != 3 || strings.Count(reply["msg"].(string), "no ddl here") != 2 {
		t.Errorf("%v", reply["msg"])
	}
}

func TestRunShowsTheStepFirst(t *testing.T) {
	type stepped struct {
		Step string `arg:"step"`
	}
	m := New(Spec{Name: "cidx_test"}, func(ctx context.Context, _ stepped, _ Mode) (Reply, error) {
		progress.Line(ctx, "Migrating users... %d rows OK", 45)
		return Reply{}, nil
	})
	var live []string
	reply := parse(t, m.Run(context.Background(), []byte(`{"step":"Step 1/5: Try"}`), func(e progress.Event) { live = append(live, *e.Line) }))
	want := "[Step 1/5: Try Migrating users... 45 rows OK]"
	if fmt.Sprint(live) != want || fmt.Sprint(reply["lines"]) != want {
		t.Errorf("live %q, in the reply %q", live, reply["lines"])
	}
}

// A step that took long says so; a heading alone is of a step that goes on in the
// next module.
func TestAStepSaysHowLongItTook(t *testing.T) {
	for name, c := range map[string]struct {
		input string
		took  time.Duration
		says  string
		want  string
	}{
		"a long one":               {`{"step":"Step 1/5"}`, 75 * time.Second, "rows OK", "[Step 1/5 rows OK   Done in 75 s]"},
		"a short one":              {`{"step":"Step 1/5"}`, 900 * time.Millisecond, "rows OK", "[Step 1/5 rows OK]"},
		"one that goes on":         {`{"step":"Step 5/5"}`, 75 * time.Second, "", "[Step 5/5]"},
		"a module without heading": {`{}`, 75 * time.Second, "rows OK", "[rows OK]"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				type stepped struct {
					Step string `arg:"step"`
				}
				m := New(Spec{Name: "cidx_test"}, func(ctx context.Context, _ stepped, _ Mode) (Reply, error) {
					time.Sleep(c.took)
					if c.says != "" {
						progress.Line(ctx, "%s", c.says)
					}
					return Reply{}, nil
				})
				if got := fmt.Sprint(parse(t, m.Run(context.Background(), []byte(c.input), nil))["lines"]); got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
			})
		})
	}
}

func TestRunHidesSecrets(t *testing.T) {
	const input = `{"home":"/h","key":"k-123456","postgres_dsn":"postgresql://cidx:hunter22@db/x","text":"some","words":{"hunter22":"a k-123456 b"}}`
	for name, run := range map[string]func(context.Context, every, Mode) (Reply, error){
		"in a reply": func(ctx context.Context, a every, _ Mode) (Reply, error) {
			secret.Keep(ctx, "read-from-file")
			progress.Line(ctx, "line %s read-from-file", a.Key)
			return Reply{Msg: a.Key, Hint: a.DSN, Warnings: []string{a.Key}, Checks: []Check{{Detail: "password=hunter22"}},
				Diff: []Diff{{Before: "hunter22"}}, Data: map[string]any{"m": map[string]any{"hunter22": []any{"read-from-file"}}}}, nil
		},
		"in an error": func(_ context.Context, a every, _ Mode) (Reply, error) { return Reply{}, errors.New("open " + a.DSN) },
		"in a problem": func(_ context.Context, a every, _ Mode) (Reply, error) {
			return Reply{}, problem.Problem{What: a.Key, At: a.DSN, Fix: a.Key}
		},
		"in a panic": func(_ context.Context, a every, _ Mode) (Reply, error) { panic("open " + a.DSN + a.Key) },
	} {
		t.Run(name, func(t *testing.T) {
			var events strings.Builder
			raw := testModule(run).Run(context.Background(), []byte(input), func(e progress.Event) { events.WriteString(*e.Line) })
			parse(t, raw)
			for _, s := range []string{"k-123456", "hunter22", "read-from-file"} {
				if strings.Contains(string(raw)+events.String(), s) {
					t.Errorf("%q is shown: %s", s, raw)
				}
			}
		})
	}
}

func TestASecretThatIsAProtocolWordBreaksNothing(t *testing.T) {
	reply := call(t, `{"home":"/h","key":"changed"}`, func(context.Context, every, Mode) (Reply, error) { return Reply{Msg: "it changed", Changed: true}, nil })
	if reply["changed"] != true || reply["msg"] != "it "+secret.Mask {
		t.Errorf("got %v", reply)
	}
}

func TestInvocationShowsArgumentsAsUnderstood(t *testing.T) {
	reply := call(t, `{"home":"/h","number":"5","key":"k-123456"}`, nil)
	got := reply["invocation"].(map[string]any)["module_args"].(map[string]any)
	for name, want := range map[string]any{"home": "/h", "number": 5.0, "flag": true, "key": secret.Mask} {
		if got[name] != want {
			t.Errorf("%s: got %v, want %v", name, got[name], want)
		}
	}
}

func TestPanicIsAReply(t *testing.T) {
	for input, changed := range map[string]bool{`{"home":"/h"}`: true, `{"home":"/h","_ansible_check_mode":true}`: false} {
		reply := call(t, input, func(context.Context, every, Mode) (Reply, error) {
			var none []string
			_ = none[len(none)]
			return Reply{}, nil
		})
		msg := fmt.Sprint(reply["msg"])
		if reply["failed"] != true || reply["changed"] != changed || !strings.Contains(msg, "index out of range") || !strings.Contains(msg, "run_test.go") {
			t.Errorf("got %v", reply)
		}
	}
}

func TestSignalLetsTheModuleTellHowFarItCame(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	m := testModule(func(ctx context.Context, _ every, _ Mode) (Reply, error) {
		cancel()
		<-ctx.Done()
		return Reply{Changed: true, Data: map[string]any{"done": []string{"users"}}}, fmt.Errorf("copy table groups: %w", ctx.Err())
	})
	reply := parse(t, m.Run(ctx, []byte(`{"home":"/h"}`), nil))
	if reply["interrupted"] != true || reply["failed"] != true || fmt.Sprint(reply["done"]) != "[users]" || !strings.Contains(fmt.Sprint(reply["hint"]), "run the same command again") {
		t.Errorf("got %v", reply)
	}
}

func TestSignalIsAnsweredForADeafModule(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	m := testModule(func(ctx context.Context, _ every, _ Mode) (Reply, error) {
		progress.Line(ctx, "begun")
		cancel()
		select {}
	})
	m.grace = time.Millisecond
	reply := parse(t, m.Run(ctx, []byte(`{"home":"/h"}`), nil))
	if reply["interrupted"] != true || reply["changed"] != true || fmt.Sprint(reply["lines"]) != "[begun]" {
		t.Errorf("got %v", reply)
	}
}

// Text of others: whatever a committer, a user of the server or PostgreSQL can
// make a step repeat.
func TestTextOfOthersCommandsNoTerminalAndBeginsNoLine(t *testing.T) {
	const hostile = "x\nMigration complete!\r\x1b]0;t\x07\x1b[2J\u009b2J\u202e\u2028\x7f\xff"
	type row struct {
		Path string `json:"path"`
	}
	for name, run := range map[string]func(context.Context, every, Mode) (Reply, error){
		"in a reply": func(ctx context.Context, _ every, _ Mode) (Reply, error) {
			progress.Line(ctx, "copied %s", hostile)
			progress.Report(ctx, progress.Status{What: hostile, Note: hostile})
			return Reply{Hint: hostile, Warnings: []string{hostile}, Checks: []Check{{Name: hostile, Detail: hostile}}, Data: map[string]any{
				"rows": []row{{hostile}}, "by_name": map[string]any{hostile: []string{hostile}}, "ready": json.RawMessage(`{"a":"x\nMigration complete!\u001b"}`),
			}}, nil
		},
		"in a problem": func(context.Context, every, Mode) (Reply, error) {
			return Reply{Msg: "not ready"}, problem.List{{What: hostile, At: hostile, Fix: hostile}, {What: hostile}}
		},
		"in an error": func(context.Context, every, Mode) (Reply, error) {
			return Reply{Msg: "stopped"}, fmt.Errorf("open %s: %w", hostile, context.Canceled)
		},
		"in an error that stands alone": func(context.Context, every, Mode) (Reply, error) { return Reply{}, errors.New(hostile) },
		"in a panic":                    func(context.Context, every, Mode) (Reply, error) { panic(problem.Problem{What: hostile}) },
		"in a difference": func(context.Context, every, Mode) (Reply, error) {
			return Reply{Diff: []Diff{{BeforeHeader: hostile}}}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			var told []string
			raw := testModule(run).Run(context.Background(), []byte(`{"home":"/h"}`), func(e progress.Event) {
				if e.Line != nil {
					told = append(told, *e.Line)
					return
				}
				told = append(told, e.Status.What, e.Status.Note)
			})
			reply := parse(t, raw)
			walk(map[string]any{"events": told, "reply": reply}, func(key, s string) {
				for line := range strings.SplitSeq(s, "\n") {
					if strings.HasPrefix(line, "Migration complete!") {
						t.Errorf("%s has a line of its own: %q", key, s)
					}
				}
				if strings.ContainsAny(s, "\x1b\u009b\u202e\u2028\x7f\r\ufffd") {
					t.Errorf("%s: %q", key, s)
				}
			})
			if text := string(raw); !strings.Contains(text, "Migration complete!") {
				t.Errorf("the name is not shown: %s", text)
			}
		})
	}
}

// walk calls do for every string below v, with the key that it stands under.
func walk(v any, do func(key, s string)) {
	var inner func(key string, v any)
	inner = func(key string, v any) {
		switch t := v.(type) {
		case string:
			do(key, t)
		case []string:
			for _, s := range t {
				do(key, s)
			}
		case []any:
			for _, item := range t {
				inner(key, item)
			}
		case map[string]any:
			for name, item := range t {
				do("a key", name)
				inner(name, item)
			}
		}
	}
	inner("", v)
}
