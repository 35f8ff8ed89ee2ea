package share

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/cidx"
)

// request is what the child is told; unexported fields stay with the parent.
type request struct {
	Mount  string
	Dir    string
	Work   string // probe folder made by an earlier child
	Do     string // "look", "write", "remove", "alive"
	Write  bool
	Switch bool // become UID, GID, Groups first
	UID    int
	GID    int
	Groups []int
	As     string

	userName string
	folder   bool
}

// Probe finds out what is mounted at point and what may be done there. The
// error is cidx.Problems, everything that was found at once; Info is filled as
// far as the probes came. Without Writing nothing is written, and Info.Untested
// names what is left for the real run.
func Probe(ctx context.Context, point string, deadline time.Duration, options ...Option) (Info, error) {
	r := request{Mount: point, UID: os.Geteuid(), GID: os.Getegid(), As: userName(os.Geteuid())}
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
// child, nothing written. The error is a cidx.Problem.
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
	problems cidx.Problems
	work     string // the probe folder to be removed, for messages
}

func newProber(ctx context.Context, deadline time.Duration, r request) (*prober, context.CancelFunc) {
	limited, cancel := context.WithTimeout(ctx, deadline)
	return &prober{caller: ctx, ctx: limited, start: time.Now(), request: r}, cancel
}

func (p *prober) problem(fix, format string, args ...any) {
	p.problems = append(p.problems, cidx.Problem{What: fmt.Sprintf(format, args...), At: p.request.Mount, Fix: fix})
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
		p.problem("mount the shared storage (cluster-join.sh does), or correct cidx_share", "not a mount point: it would fill the disk it lies on")
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
	if denied(a) && p.onlyService("look") {
		return
	}
	p.explain(a)
}

// denied reports whether root lacks rights: it is nobody on that share.
func denied(a answer) bool {
	return a.Info.RootSquash || slices.ContainsFunc(a.Results, func(r Result) bool {
		return !r.OK && (r.Detail == unix.EACCES.Error() || r.Detail == unix.EPERM.Error())
	})
}

// onlyService repeats a task that root has no rights for as the service user.
// Where that one has them all, what root lacks is no problem: Info.WriteAs tells.
func (p *prober) onlyService(do string) bool {
	if p.request.userName == "" || os.Geteuid() != 0 || p.hung() {
		return false
	}
	service := p.request
	if service.become(p.request.userName) != nil || service.UID == 0 {
		return false // told by write
	}
	service.Switch, service.Work = true, ""
	trial := &prober{caller: p.caller, ctx: p.ctx, start: p.start, request: service}
	a := trial.run(do, service)
	trial.explain(a)
	trial.remove(service, a.Work)
	if len(trial.problems) > 0 {
		return false
	}
	a.fill(&p.info)
	p.info.WriteAs = service.As
	return true
}

// write runs the probes that write, as the current user and as the service user.
func (p *prober) write() {
	if !p.request.Write {
		p.info.Untested = []string{"create", "write", "fsync", "chmod", "chown", "mtime", "rename", "symlink", "hard link", "names", "lock", "root_squash"}
		return
	}
	service, root := p.request, os.Geteuid() == 0
	if p.request.userName != "" {
		if err := service.become(p.request.userName); err != nil {
			p.problem("set cidx_service_user to a user of this node", "user %q: %v", p.request.userName, err)
			return
		}
		if root {
			p.request.UID, p.request.GID = service.UID, service.GID
		}
	}
	a := p.run("write", p.request)
	defer p.remove(p.request, a.Work)
	a.fill(&p.info)
	if denied(a) && p.onlyService("write") {
		return
	}
	p.explain(a)
	if p.request.userName == "" || !root || service.UID == 0 || p.hung() {
		return
	}
	service.Switch, service.Work = true, a.Given
	b := p.run("write", service)
	b.fill(&p.info)
	p.explain(b)
	if a.Given == "" {
		p.remove(service, b.Work)
	}
}

func (p *prober) hung() bool { return p.ctx.Err() != nil }

// remove takes a probe folder away as its maker, else as ourselves: where ids
// are mapped, the maker does not own it, and only root may in a sticky folder.
func (p *prober) remove(maker request, work string) {
	if work == "" || p.hung() {
		return
	}
	maker.Work, p.work = work, work
	a := p.run("remove", maker)
	if maker.Switch && slices.ContainsFunc(a.Results, func(r Result) bool { return !r.OK }) {
		maker.Switch = false
		a = p.run("remove", maker)
	}
	p.explain(a)
}

// become looks the ids of a user up, by name or number.
func (r *request) become(name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return fmt.Errorf("look up user: %w", err)
		}
	}
	r.As = u.Username
	if r.UID, err = strconv.Atoi(u.Uid); err != nil {
		return fmt.Errorf("read uid: %w", err)
	}
	if r.GID, err = strconv.Atoi(u.Gid); err != nil {
		return fmt.Errorf("read gid: %w", err)
	}
	groups, err := u.GroupIds()
	if err != nil {
		return fmt.Errorf("look up groups: %w", err)
	}
	for _, g := range groups {
		if n, err := strconv.Atoi(g); err == nil {
			r.Groups = append(r.Groups, n)
		}
	}
	return nil
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}
