package share

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"cidx-cluster/modules/internal/problem"
)

// request is what the child is told; unexported fields stay with the parent.
type request struct {
	Mount string
	Dir   string
	Work  string // probe folder made by an earlier child
	Do    string // "look", "write", "remove", "alive"
	Write bool

	folder bool
}

// Probe finds out what is mounted at point and what may be done there. The
// error is problem.List, everything that was found at once; Info is filled as
// far as the probes came. Without Writing nothing is written, and Info.Untested
// names what is left for the real run.
func Probe(ctx context.Context, point string, deadline time.Duration, options ...Option) (Info, error) {
	r := request{Mount: point}
	for _, o := range options {
		o(&r)
	}
	if r.Dir == "" {
		r.Dir = point
	}
	p, cancel := newProber(ctx, deadline, r)
	defer cancel()
	p.mount()
	if len(p.problems) == 0 {
		p.look()
	}
	if len(p.problems) == 0 {
		p.write()
	}
	return p.info, p.problems.Err()
}

// Alive answers whether the share still reacts: one statfs and one stat in a
// child, nothing written. The error is a problem.Problem.
func Alive(ctx context.Context, point string, deadline time.Duration) error {
	p, cancel := newProber(ctx, deadline, request{Mount: point, Dir: point})
	defer cancel()
	p.run("alive", p.request)
	return p.problems.Err()
}

// prober is one Probe under way.
type prober struct {
	caller   context.Context // ends when the run is interrupted
	ctx      context.Context // ends at the deadline as well
	start    time.Time
	request  request
	info     Info
	problems problem.List
	work     string // the probe folder to be removed, for messages
}

func newProber(ctx context.Context, deadline time.Duration, r request) (*prober, context.CancelFunc) {
	limited, cancel := context.WithTimeout(ctx, deadline)
	return &prober{caller: ctx, ctx: limited, start: time.Now(), request: r}, cancel
}

func (p *prober) problem(fix, format string, args ...any) {
	p.problems = append(p.problems, problem.Problem{What: fmt.Sprintf(format, args...), At: p.request.Mount, Fix: fix})
}

// mount looks the mount point up, through symbolic links if need be.
func (p *prober) mount() {
	m, ok, err := Find(p.request.Mount)
	if err == nil && !ok {
		a := p.run("resolve", p.request)
		if len(p.problems) > 0 {
			return
		}
		if a.Real != "" {
			m, ok, err = Find(a.Real)
		}
	}
	switch {
	case err != nil:
		p.problem("make /proc available", "%v", err)
	case !ok && !p.request.folder:
		p.problem("mount the shared storage (cluster-join.sh does), or correct cidx_share",
			"not a mount point: it would fill the disk it lies on")
	}
	p.info.Mount, p.info.Mounted = m, ok
}

// look runs the probes that write nothing.
func (p *prober) look() {
	a := p.run("look", p.request)
	if len(p.problems) > 0 {
		return
	}
	if p.info.Mount.Type == "autofs" {
		// The look has triggered the automounter.
		if m, ok, err := Find(p.request.Mount); err == nil && ok {
			p.info.Mount = m
		}
	}
	a.fill(&p.info)
	p.info.ReadOnly = p.info.ReadOnly || p.info.Mount.Has("ro")
	if p.info.ReadOnly {
		p.problem("mount it read-write: mount -o remount,rw "+p.request.Mount, "mounted read-only")
	}
	if p.request.Write {
		// Whether something can be written, the attempt will tell, and why not.
		a.Results = slices.DeleteFunc(a.Results, func(r Result) bool { return r.Name == "access" })
	}
	p.explain(a)
}

// write runs the probes that write.
func (p *prober) write() {
	if !p.request.Write {
		p.info.Untested = strings.Split("create,write,fsync,chmod,chown,mtime,rename,symlink,hard link,names,lock,ids", ",")
		return
	}
	a := p.run("write", p.request)
	defer p.remove(a.Work)
	a.fill(&p.info)
	p.explain(a)
}

func (p *prober) hung() bool { return p.ctx.Err() != nil }

// remove takes a probe folder away.
func (p *prober) remove(work string) {
	if work == "" || p.hung() {
		return
	}
	remover := p.request
	remover.Work, p.work = work, work
	p.explain(p.run("remove", remover))
}
