package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidxapi"
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

// answer is how well a search went; more is better.
type answer int

const (
	silent  answer = iota // no answer at all
	refused               // an error, or hits that are no files of the repository
	nothing               // no hits
	found
)

var answers = map[answer]string{silent: "silent", refused: "refused", nothing: "nothing", found: "found"}

// memory is what the standalone server answered, by alias.
type memory map[string]answer

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
	v.warn("the standalone server's searches could not be asked: %s", short(err))
	v.reply.Msg = "the standalone server's searches are not known"
	return v.reply, nil
}

// note keeps what was answered in the journal.
func (v *verification) note(results []result) error {
	all, without := map[string]any{}, map[string]any{}
	for _, r := range results {
		if r.Mode == "files" {
			continue
		}
		all[r.Alias] = answers[r.answer]
		if r.answer == found {
			continue
		}
		without[r.Alias] = answers[r.answer]
		why := "the search finds nothing"
		if r.problem != nil {
			why = r.problem.What
		}
		v.warn("%s: %s, already before the migration; after it, it only has to answer", r.Alias, why)
	}
	v.reply.Data["without"] = without
	v.reply.Msg = fmt.Sprintf("the standalone server finds something in %d of %d repositories", len(all)-len(without), len(all))
	return journal.Append(v.args.State().Journal(), moduleName, askedEvent, map[string]any{"answers": all, "url": v.api.Base()})
}

// recall reads what was kept.
func recall(entries []journal.Entry) memory {
	m := memory{}
	e, _ := lastOf(entries, askedEvent)
	all, _ := e.Data["answers"].(map[string]any)
	for alias, word := range all {
		for a, name := range answers {
			if name == word {
				m[alias] = a
			}
		}
	}
	return m
}

// lastOf is the newest entry of ours with that event.
func lastOf(entries []journal.Entry, event string) (journal.Entry, bool) {
	for i := len(entries) - 1; i >= 0; i-- {
		if entries[i].Module == moduleName && entries[i].Event == event {
			return entries[i], true
		}
	}
	return journal.Entry{}, false
}

// excused says why a repository may be without hits, or "". What counts is what
// the standalone server answered; where it was not asked (it was down, or the
// repository is newer), what lies on disk.
func (v *verification) excused(r *result, target string, words []string) string {
	if r.answer == silent {
		return ""
	}
	if before, asked := v.known[r.Alias]; asked {
		if before < found && r.answer >= before {
			return "nor did the standalone server find anything in it"
		}
		return ""
	}
	if !indexed(target) {
		return "it has no index"
	}
	if len(words) == 0 && r.answer == nothing {
		return "it holds no text file to find a word in"
	}
	return ""
}

// errIndexed ends a walk at the first piece of an index.
var errIndexed = errors.New("indexed")

// indexed reports whether a repository has a full-text index or a vector.
func indexed(target string) bool {
	own := filepath.Join(target, ".code-indexer")
	if isFolder(filepath.Join(own, "tantivy_index")) {
		return true
	}
	err := filepath.WalkDir(filepath.Join(own, "index"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasPrefix(d.Name(), "vector_") {
			return errIndexed
		}
		return nil // what cannot be read holds nothing for the search either
	})
	return errors.Is(err, errIndexed)
}
