// Package cutover is what turns a home on this machine into a cluster node's and
// back: trees are renamed aside and linked to the share, config.json is rewritten.
// Each is a step that stands in the journal once it is done, and that can be undone.
// Whether the share holds what the links lead to, others prove.
package cutover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/problem"
)

// Step is one change; Undo is nil where it cannot be undone.
type Step struct {
	Name  string
	Event string // of the journal
	Data  map[string]any
	Do    func() error
	Undo  func() error
}

// Change is what one call plans, and how far it has come.
type Change struct {
	home.Common
	To      string // the state that the journal tells of
	Mode    ansible.Mode
	Resumed bool // a call that was interrupted on its way goes on
	Plan    []Step
	Done    []string // of it, so far
	Diff    []ansible.Diff
	// Reached, if set, is called before each change; tests stop there.
	Reached func(what string)
}

// Add plans a step, if it is needed.
func (c *Change) Add(s Step, needed bool, err error) error {
	if needed && err == nil {
		c.Plan = append(c.Plan, s)
	}
	return err
}

// Told is what was done, or in check mode would be.
func (c *Change) Told() []string {
	told := []string{}
	if !c.Mode.Check {
		return append(told, c.Done...)
	}
	for _, s := range c.Plan {
		told = append(told, s.Name)
	}
	return told
}

// Note adds a line to the journal.
func (c *Change) Note(event string, data map[string]any) error {
	if data == nil {
		data = map[string]any{}
	}
	data["state"] = c.To
	return journal.Append(c.State().Journal(), home.ConfigModule, event, data)
}

// Begin writes down that the change begins, and from what.
func (c *Change) Begin(now home.Config) error {
	return c.Note(home.ConfigBegun, map[string]any{"config_was": now.StorageMode})
}

// End writes down that it is complete.
func (c *Change) End() error {
	c.Reach("write the journal")
	return c.Note(home.ConfigDone, nil)
}

// Apply performs the plan. When a step fails, those before it are undone, so
// that a failed cut-over leaves what it found.
func (c *Change) Apply(ctx context.Context) error {
	for i, s := range c.Plan {
		err := ctx.Err()
		if err == nil {
			c.Reach(s.Name)
			err = s.Do()
		}
		if err == nil {
			c.Done = append(c.Done, s.Name)
			err = c.Note(s.Event, s.Data)
		}
		if err != nil {
			return c.undo(err, c.Plan[:i+1])
		}
	}
	return nil
}

// Undo takes the plan back, which was carried out; cause is why.
func (c *Change) Undo(cause error) error { return c.undo(cause, c.Plan) }

// undo takes back the steps that were done, last first.
func (c *Change) undo(cause error, steps []Step) error {
	problems := problem.Of(cause)
	half := false
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].Undo == nil {
			continue
		}
		if err := steps[i].Undo(); err != nil {
			problems.Add(err)
			half = true
		}
	}
	if half || c.Resumed { // what an earlier call has done is not in steps
		fix := "run cluster-migrate.yml again to finish it, or cluster-rollback.yml to undo it"
		if c.To == home.ToNode || c.To == home.Apart {
			fix = "run cluster-node.yml again as it was called to finish it, or with -e cidx_node_state=absent to undo it"
		}
		return append(problems, problem.Problem{What: "the change stays half done", At: c.Home,
			Fix: fix + "; do not start the server by hand"})
	}
	c.Done = nil
	problems.Add(c.Note(home.ConfigUndone, nil))
	return problems
}

// Reach tells tests what comes next.
func (c *Change) Reach(what string) {
	if c.Reached != nil {
		c.Reached(what)
	}
}

// NothingLeft refuses a plan that is not empty: it was made again after the change.
func (c *Change) NothingLeft() error {
	if len(c.Plan) == 0 {
		return nil
	}
	return problem.Problem{What: "still to do after the change: " + c.Plan[0].Name, At: c.Home,
		Fix: "something else changes this folder; stop it and run again"}
}

// Missing reports whether nothing lies at path; an error of looking is no such
// answer.
func Missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// Remove removes a file of ours, for good.
func Remove(path string) error {
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return durable.SyncFolder(filepath.Dir(path))
}
