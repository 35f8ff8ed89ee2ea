// Package acceptance makes a migration final. It proves that node, load and share are
// whole, writes the decision, and removes what only a rollback needs: the standalone
// folders and our own copies. Killed anywhere, the next call goes on.
package acceptance

import (
	"context"
	"encoding/json"
	"fmt"

	"cidx-cluster/modules/cidx_config/cutover"
	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/progress"
)

// acceptance is one call.
type acceptance struct {
	*cutover.Change
	reply  ansible.Reply
	record home.Acceptance
	fresh  bool // the decision is not written yet
	left   []home.Remnant
}

// Accept does it, or tells in check mode what it would do.
func Accept(ctx context.Context, c *cutover.Change, dsn string) (ansible.Reply, error) {
	a := acceptance{Change: c}
	err := a.accept(ctx, dsn)
	told := a.Told()
	if a.Mode.Check && err == nil {
		told = append(told, a.orders()...)
	}
	_, bytes := sum(a.left)
	a.reply.Changed = len(told) > 0
	a.reply.Data = map[string]any{"plan": told, "removed": a.left, "bytes": bytes}
	if err != nil {
		a.reply.Msg = ""
	}
	return a.reply, err
}

func (a *acceptance) accept(ctx context.Context, dsn string) error {
	found, err := a.Find(ctx, dsn)
	if err != nil {
		return err
	}
	if a.fresh = found.Standing.Accepted == nil; a.fresh {
		a.record, err = a.acceptable(ctx, found)
	} else {
		a.record = *found.Standing.Accepted
	}
	if err != nil {
		return err
	}
	if a.left, err = a.remnants(ctx, found.Standing); err != nil {
		return err
	}
	if a.fresh {
		a.record.Removed = a.left
	}
	if a.Mode.Check {
		return a.tell(ctx)
	}
	return a.finalize(ctx, found.Standing)
}

// orders are the lines of what is left to do.
func (a *acceptance) orders() []string {
	var lines []string
	for _, r := range a.left {
		lines = append(lines, "remove "+words(r))
	}
	return lines
}

// words describes something that goes: /path: what it is (12 files, 3.4 MB).
func words(r home.Remnant) string {
	return fmt.Sprintf("%s: %s (%s, %s)", r.Path, r.What, human.Count(r.Files, "file", "files"), human.Bytes(r.Bytes))
}

// tell is what check mode does instead.
func (a *acceptance) tell(ctx context.Context) error {
	files, bytes := sum(a.left)
	for _, o := range a.orders() {
		progress.Line(ctx, "  Would %s", o)
	}
	a.reply.Msg = fmt.Sprintf("the migration can be accepted: %s would be removed, %s would come free",
		human.Count(files, "file", "files"), human.Bytes(bytes))
	if !a.fresh {
		a.reply.Msg = a.record.Sentence()
	}
	progress.Line(ctx, "  %s", a.reply.Msg)
	return nil
}

// finalize writes the decision and carries it out.
func (a *acceptance) finalize(ctx context.Context, standing home.Standing) error {
	a.reply.Msg = a.record.Sentence()
	if !a.fresh {
		progress.Line(ctx, "  %s", a.reply.Msg)
	} else if err := a.decide(); err != nil {
		return err
	}
	data := map[string]any{"by": a.record.By, "source_id": a.record.Source}
	if err := a.noteOnce(standing, home.Accepting, data); err != nil {
		return err
	}
	for _, r := range a.left {
		if err := a.remove(ctx, r); err != nil {
			return err
		}
		a.Done = append(a.Done, "remove "+words(r))
		progress.Line(ctx, "  Removed %s", words(r))
	}
	files, bytes := sum(a.record.Removed)
	return a.noteOnce(standing, home.Accepted, map[string]any{"files": files, "bytes": bytes})
}

// decide writes the record: from then on no rollback begins.
func (a *acceptance) decide() error {
	raw, err := json.MarshalIndent(a.record, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the record of the acceptance: %w", err)
	}
	a.Reach("write the record")
	if err := durable.Write(a.State().Acceptance(), append(raw, '\n'), nil); err != nil {
		return err
	}
	a.Done = append(a.Done, "write "+a.State().Acceptance())
	return nil
}

// noteOnce adds a line to the journal that is not there yet.
func (a *acceptance) noteOnce(standing home.Standing, event string, data map[string]any) error {
	if _, ok := standing.Last(home.ConfigModule, event); ok {
		return nil
	}
	a.Reach("write the journal: " + event)
	if err := a.Note(event, data); err != nil {
		return err
	}
	a.Done = append(a.Done, "write the journal: "+event)
	return nil
}

func sum(list []home.Remnant) (files, bytes int64) {
	for _, r := range list {
		files, bytes = files+r.Files, bytes+r.Bytes
	}
	return files, bytes
}
