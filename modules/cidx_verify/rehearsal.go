package verify

import (
	"context"
	"errors"
	"fmt"

	"cidx-cluster/modules/cidx_verify/search"
	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidxapi"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/journal"
)

// Module's entries of the journal.
const (
	moduleName = "cidx_verify"
	// askedEvent is what the standalone server answered before the stop. Its
	// data: "answers": alias → answer, "url": the server's address.
	askedEvent = "asked"
	// healthyEvent ends a start. Its data: "seconds" since the start.
	healthyEvent = "healthy"
)

// remember asks the standalone server the searches of the later verification. A
// repository that is well can have nothing to find (it is empty, or its files
// are of kinds that CIDX does not index): after the migration it then only has
// to answer. Whatever goes wrong here is a warning. A check mode asks nothing,
// because a server keeps a log of its searches.
func remember(ctx context.Context, a args, mode ansible.Mode) (ansible.Reply, error) {
	if mode.Check {
		return ansible.Reply{Skipped: "searches are asked in a real run only"}, nil
	}
	v, err := prepare(ctx, a)
	if err != nil {
		return v.unasked(err)
	}
	if _, err := v.api.Healthz(ctx); err != nil {
		var away *cidxapi.NoAnswer
		if errors.As(err, &away) {
			return ansible.Reply{Skipped: "the server does not answer"}, nil
		}
		return v.unasked(err)
	}
	node, err := v.api.CheckHealth(ctx)
	if err != nil {
		return v.unasked(err)
	}
	if node.NodeID != "" {
		return ansible.Reply{Skipped: "the server runs in cluster mode"}, nil
	}
	entries, err := v.standaloneRegistry(ctx)
	if err != nil {
		return v.unasked(err)
	}
	results := v.askAll(ctx, entries)
	if ctx.Err() != nil {
		return v.reply, fmt.Errorf("ask repositories: %w", context.Cause(ctx))
	}
	return v.reply, v.note(results)
}

// unasked is the reply of a rehearsal that could not ask.
func (v *verification) unasked(err error) (ansible.Reply, error) {
	v.warn("the standalone server's searches could not be asked: %s", cidxapi.Short(err))
	v.reply.Msg = "the standalone server's searches are not known"
	return v.reply, nil
}

// note keeps what was answered in the journal.
func (v *verification) note(results []search.Result) error {
	all, without := map[string]any{}, map[string]any{}
	for _, r := range results {
		if r.Mode == "files" {
			continue
		}
		all[r.Alias] = r.Answer.String()
		if r.Answer == search.Found {
			continue
		}
		without[r.Alias] = r.Answer.String()
		why := "the search finds nothing"
		if r.Problem != nil {
			why = r.Problem.What
		}
		v.warn("%s: %s, already before the migration; after it, it only has to answer", r.Alias, why)
	}
	v.reply.Data["without"] = without
	v.reply.Msg = fmt.Sprintf("the standalone server finds something in %d of %d repositories", len(all)-len(without), len(all))
	return journal.Append(v.args.State().Journal(), moduleName, askedEvent, map[string]any{"answers": all, "url": v.api.Base()})
}

// recall reads what was kept.
func recall(entries []journal.Entry) search.Memory {
	e, _ := home.Standing{Entries: entries}.Last(moduleName, askedEvent)
	all, _ := e.Data["answers"].(map[string]any)
	return search.MemoryOf(all)
}
