// Package ansible is the protocol between Ansible and a module: strict
// arguments in, exactly one JSON object out.
//
// It promises that the reply always parses, also after a panic or a signal,
// that no registered secret is in it, and that nothing else is written to
// standard output.
package ansible

import (
	"context"
	"reflect"
	"time"

	"cidx-cluster/modules/internal/errand"
	"cidx-cluster/modules/internal/problem"
)

// Mode is how a module is to run, from Ansible's _ansible_* arguments.
type Mode struct {
	Check  bool // plan only: change nothing anywhere
	Diff   bool // tell what changes, before and after
	ByRoot bool // root has started the run, whoever this process is
	For    int  // uid of the server's user, where this process stays root for another user; else 0
}

// Spec is what makes a module, but for its function; plugins/modules describe it.
type Spec struct {
	Name string // e.g. "cidx_aliases"

	// Root modules stay root where root has started them. Errands are what they
	// let the server's user do instead.
	Root    bool
	Errands []errand.Any

	// Lease is what a real run wants from the home's, if it is not job.Take.
	Lease string

	// Lists modules only look, and list themselves what is wrong with the state
	// folder: it does not keep them from running.
	Lists bool
}

// Module is one thing the helper can do for Ansible.
type Module struct {
	Spec
	args  reflect.Type
	grace time.Duration
	run   func(context.Context, any, Mode) (Reply, error)
}

// New makes a module of a function. A is the argument struct, see Decode.
func New[A any](spec Spec, run func(context.Context, A, Mode) (Reply, error)) Module {
	return Module{
		Spec:  spec,
		grace: grace,
		args:  reflect.TypeFor[A](),
		run: func(ctx context.Context, a any, m Mode) (Reply, error) {
			return run(ctx, *a.(*A), m)
		},
	}
}

// Reply is what a module answers. A module that returns an error may return a
// filled Reply beside it: what was done before it stopped is told as well.
type Reply struct {
	Changed  bool           // something was changed, or would be in check mode
	Skipped  string         // why there was nothing to do; "" if not skipped
	Msg      string         // one sentence for the operator
	Hint     string         // what to do next
	Problems problem.List   // all that was found; with Failed or an error
	Checks   []Check        // what was checked, in order
	Diff     []Diff         // with Mode.Diff only
	Warnings []string       // shown by Ansible as [WARNING], of each kind the first five
	Data     map[string]any // the module's own keys
	Seconds  float64        // that the module took; filled in
}

// Check is one line of prechecks or verification.
type Check struct {
	Name   string `json:"name"` // e.g. "NFS mount"
	OK     bool   `json:"ok"`
	Detail string `json:"detail"` // e.g. "/mnt/cidx-shared, 450 GB free"
}

// Diff is one file or object before and after, as Ansible shows it.
type Diff struct {
	BeforeHeader string `json:"before_header"`
	AfterHeader  string `json:"after_header"`
	Before       string `json:"before"`
	After        string `json:"after"`
}
