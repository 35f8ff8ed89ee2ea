package ansible

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"cidx-cluster/modules/internal/arguments"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/printable"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/secret"
)

// grace is how long a module may go on after a signal before the reply is
// given without it.
const grace = 20 * time.Second

// Run decodes input, runs the module and returns the reply as one line of JSON
// without the newline. Events go to sink, masked. It never panics and never
// fails: whatever goes wrong is in the reply. When ctx is cancelled (a signal),
// the module is expected to stop and to say how far it came; the reply is given
// without it after a grace period.
func (m Module) Run(ctx context.Context, input []byte, sink progress.Sink) []byte {
	return m.serve(ctx, input, sink, Mode{})
}

// serve is Run; of how only who works for whom counts (see perform).
func (m Module) serve(ctx context.Context, input []byte, sink progress.Sink, how Mode) []byte {
	begun := time.Now()
	keeper := secret.New()
	ctx = secret.With(ctx, keeper)
	transcript := &lines{keeper: keeper, next: sink}
	ctx = progress.With(ctx, progress.Sink(transcript.add))

	args, mode, secrets, err := m.Decode(input)
	keeper.Keep(secrets...)
	mode.ByRoot, mode.For = how.ByRoot, how.For
	var reply Reply
	if err == nil {
		begun, headed := time.Now(), m.heading(ctx, args)
		reply, err = m.await(ctx, args, mode)
		// A heading alone is one of a step that the next module goes on with.
		if took := time.Since(begun); err == nil && headed && took >= time.Second && len(transcript.all()) > 1 {
			progress.Line(ctx, "  Done in %s", human.Seconds(took.Seconds()))
		}
	}
	if err != nil && ctx.Err() != nil && reply.Hint == "" {
		reply.Hint = "interrupted by a signal; run the same command again: it goes on where this one stopped"
	}
	reply.Seconds = human.Tenths(time.Since(begun).Seconds())
	return m.encode(mode, reply, err, transcript.all(), keeper, arguments.Shown(args))
}

// keeperOf knows the secrets among the arguments.
func keeperOf(m Module, input []byte) *secret.Keeper {
	keeper := secret.New()
	_, _, secrets, _ := m.Decode(input)
	keeper.Keep(secrets...)
	return keeper
}

// await runs the module and gives up on it when it does not heed a signal.
func (m Module) await(ctx context.Context, args any, mode Mode) (Reply, error) {
	type outcome struct {
		reply Reply
		err   error
	}
	ended := make(chan outcome, 1)
	go func() {
		reply, err := m.guard(ctx, args, mode)
		ended <- outcome{reply, err}
	}()
	select {
	case o := <-ended:
		return o.reply, o.err
	case <-ctx.Done():
	}
	select {
	case o := <-ended:
		return o.reply, o.err
	case <-time.After(m.grace):
		return Reply{Changed: !mode.Check}, fmt.Errorf("%s: still busy %s after a signal: %w", m.Name, m.grace, ctx.Err())
	}
}

// guard turns a panic into an error with its place.
func (m Module) guard(ctx context.Context, args any, mode Mode) (reply Reply, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			reply.Changed = !mode.Check // it may have been
			err = crash{m.Name + ": internal error: " + fmt.Sprint(cause), string(debug.Stack())}
		}
	}()
	return m.run(ctx, args, mode)
}

// heading prints the argument "step".
func (m Module) heading(ctx context.Context, args any) (printed bool) {
	for name, v := range arguments.Shown(args) {
		if text, ok := v.(string); ok && name == "step" && text != "" {
			progress.Line(ctx, "%s", text)
			printed = true
		}
	}
	return printed
}

// encode renders the reply. An error makes it a failed one.
func (m Module) encode(mode Mode, r Reply, err error, transcript []string, keeper *secret.Keeper, invocation map[string]any) []byte {
	problems := r.Problems
	if err != nil {
		problems = append(slices.Clone(problems), problemsOf(err)...)
	}
	problems = slices.Compact(problems) // one refusal may meet several statements
	failed := err != nil || len(problems) > 0
	out := map[string]any{}
	maps.Copy(out, r.Data)
	out["changed"], out["failed"], out["msg"], out["check_mode"], out["seconds"] = r.Changed, failed, r.Msg, mode.Check, r.Seconds
	if failed {
		out["msg"] = failure(r.Msg, err, problems)
		out["problems"] = problems
	}
	if errors.Is(err, context.Canceled) {
		out["interrupted"] = true
	}
	optional(out, "hint", r.Hint, r.Hint != "")
	optional(out, "checks", r.Checks, len(r.Checks) > 0)
	optional(out, "diff", titled(r.Diff), len(r.Diff) > 0)
	optional(out, "warnings", grouped(r.Warnings), len(r.Warnings) > 0)
	optional(out, "all_warnings", r.Warnings, len(r.Warnings) > 0) // ansible-core 2.19 and later make objects of "warnings"
	optional(out, "lines", transcript, len(transcript) > 0)
	if r.Skipped != "" && !failed {
		out["skipped"], out["skip_reason"] = true, r.Skipped
		optional(out, "msg", r.Skipped, r.Msg == "")
	}
	if invocation != nil {
		out["invocation"] = map[string]any{"module_args": invocation}
	}
	return mask(out, keeper)
}

// failure is the message of a failed reply: the module's own sentence or the
// error, then one problem a line.
func failure(msg string, err error, problems problem.List) string {
	if c, ok := errors.AsType[crash](err); ok {
		return c.Error()
	}
	if len(problems) == 1 && msg == "" {
		return problems[0].Error()
	}
	head := msg
	if head == "" {
		head = fmt.Sprintf("%d problems", len(problems))
	}
	var list problem.List
	var one problem.Problem
	if err != nil && !errors.As(err, &list) && !errors.As(err, &one) && len(problems) == 1 {
		return head + ": " + printable.Line(err.Error())
	}
	var b strings.Builder
	b.WriteString(head + ":")
	for _, p := range problems {
		b.WriteString("\n  - " + p.Error())
	}
	return b.String()
}

func optional(out map[string]any, name string, value any, present bool) {
	if present {
		out[name] = value
	}
}

// mask renders out as JSON without any registered secret and without a character
// that a terminal would obey. Secrets are hidden first: they are known as they are.
func mask(out map[string]any, keeper *secret.Keeper) []byte {
	raw, err := json.Marshal(each(out, keeper)) // bytes that are no UTF-8 would get lost here
	if err == nil {
		// Again: what is JSON already (json.RawMessage) has been passed over.
		if out, err = object(raw); err == nil {
			raw, err = json.Marshal(each(out, keeper))
		}
	}
	if err != nil {
		msg := "encode reply: " + printable.Line(keeper.Hide(err.Error()))
		raw, _ = json.Marshal(map[string]any{"changed": true, "failed": true, "msg": msg})
	}
	return raw
}

// lines collects the transcript and passes masked events on.
type lines struct {
	mu     sync.Mutex
	keeper *secret.Keeper
	next   progress.Sink
	kept   []string
}

func (l *lines) add(e progress.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Line != nil {
		text := printable.Line(l.keeper.Hide(*e.Line))
		e.Line = &text
		l.kept = append(l.kept, text)
	}
	if e.Status != nil {
		s := *e.Status
		s.What, s.Note = printable.Line(l.keeper.Hide(s.What)), printable.Line(l.keeper.Hide(s.Note))
		e.Status = &s
	}
	if l.next != nil {
		l.next(e)
	}
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept
}
