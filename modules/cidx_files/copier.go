package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

const atCwd = unix.AT_FDCWD

// copier is one call of the module.
type copier struct {
	args     args
	check    bool
	settings settings
	share    string
	info     share.Info
	layout   home.Layout
	parts    []*part
	jobs     []*job
	rsync    *rsync
	workers  int
	moves    map[string]string // prefixes of paths that change in the copy
	meter    *meter
	downtime float64 // seconds, forecast by a warm pass
	scratch  string  // folder for what is too much to keep in memory
}

// job is one part under way.
type job struct {
	part     *part
	manifest *manifest.Manifest
	meta     meta
	trust    trust
	scan     *scan
	result   *result
	took     time.Duration
	told     bool // the transcript has its line
}

// work reports whether there is anything to do for a part.
func (j *job) work() bool { return j.scan.work() || j.meta.Open }

// start finds everything out, then forecasts or copies.
func start(ctx context.Context, a args, mode ansible.Mode, s settings) (ansible.Reply, error) {
	c := &copier{args: a, check: mode.Check, settings: s}
	if a.Phase == phaseProven {
		if mode.Check {
			return ansible.Reply{Skipped: "a rehearsal has copied nothing"}, nil
		}
		if err := c.locate(ctx); err != nil {
			return ansible.Reply{}, err
		}
		return c.prove(ctx)
	}
	if err := c.prepare(ctx); err != nil {
		return ansible.Reply{}, err
	}
	if len(c.parts) == 0 {
		return ansible.Reply{Skipped: "the repositories are on the share already"}, nil
	}
	if err := c.ownAll(); err != nil {
		return ansible.Reply{}, err
	}
	if mode.Check {
		return c.forecast(ctx)
	}
	return c.copy(ctx)
}

// prepare finds the share, the layout and rsync; it reads only.
func (c *copier) prepare(ctx context.Context) error {
	if err := c.locate(ctx); err != nil {
		return err
	}
	var problems problem.List
	var err error
	c.rsync, err = findRsync()
	problems.Add(err)
	c.info, err = share.Probe(ctx, c.share, share.Deadline, c.probes()...)
	problems.Add(err)
	if len(problems) == 0 {
		problems.Add(c.choose())
		problems = append(problems, c.standing()...)
	}
	c.workers = c.args.processes(c.info.Mount.Network())
	for _, p := range c.parts {
		p.moves, p.share = c.moves, c.share
	}
	return problems.Err()
}

// probed is the folder to probe in: one whose time this run puts right again.
func (c *copier) probed() string {
	for _, j := range c.jobs {
		if j.work() && c.settled(j.part) {
			return j.part.target
		}
	}
	return c.share
}

// settled reports whether a part's folder on the share, and the one around it,
// are as a finished copy leaves them, or not there. In others only their maker
// may look, not the service user.
func (c *copier) settled(p *part) bool {
	for source, target := p.source, p.target; len(target) > len(c.share); source, target = filepath.Dir(source), filepath.Dir(target) {
		is, err := tree.Lstat(atCwd, target)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		was, failed := p.lstat(source)
		if err != nil || failed != nil || is.Mode != was.Mode || is.UID != was.UID || is.GID != was.GID {
			return false
		}
	}
	return true
}

// choose leaves out the parts that are on the share already: moved there, or
// linked or mounted from there by hand.
func (c *copier) choose() error {
	inPlace := map[string]bool{}
	for _, t := range c.layout.Trees {
		state, err := t.LinkState()
		if err != nil {
			return err
		}
		inPlace[t.Local] = t.Moved() || state == home.LinkInPlace
	}
	for _, p := range partsOf(c.layout, c.args.Parts) {
		tree := p.source
		if p.inside {
			tree = filepath.Dir(tree)
		}
		if !inPlace[tree] {
			c.parts = append(c.parts, p)
		}
	}
	return nil
}

// standing are the reasons for which the trees that are copied cannot become
// links to the share.
func (c *copier) standing() problem.List {
	var trees []home.Tree
	for _, t := range c.layout.Trees {
		if slices.ContainsFunc(c.parts, func(p *part) bool { return p.source == t.Local || p.inside && filepath.Dir(p.source) == t.Local }) {
			trees = append(trees, t)
		}
	}
	return append(dangling(c.args.Home, c.share), anchored(trees)...)
}

func (c *copier) probes() []share.Option {
	list := []share.Option{share.In(c.probed())}
	if c.settings.plainFolder {
		list = append(list, share.Folder())
	}
	return list
}

// wanted are the flags without which an entry needs work.
func (c *copier) wanted() byte {
	if c.args.Compare == compareNone {
		return manifest.Copied
	}
	return manifest.Copied | manifest.Verified
}

// open reads what earlier passes have left and looks at the source.
func (c *copier) open(ctx context.Context, p *part) (*job, error) {
	state := c.args.State()
	j := &job{part: p, result: &result{}}
	var err error
	if j.meta, err = readMeta(state, p.name); err != nil {
		return nil, err
	}
	if j.manifest, err = manifest.Open(state.Manifest(p.name)); err != nil {
		return nil, err
	}
	if j.trust, err = trustIn(state, p, j.meta); err != nil {
		return nil, err
	}
	if p.found, err = readFindings(state, p.name); err != nil {
		return nil, err
	}
	if j.trust == worthless {
		p.found = nil
		if err := c.forget(j); err != nil {
			return nil, err
		}
	}
	want := c.wanted()
	if j.trust == doubted || c.args.Compare == compareAll {
		want = impossible
	}
	percent := 0.0
	if c.args.Phase == phaseDelta && c.args.Compare == compareChanged && !c.check {
		percent = c.args.SamplePercent
	}
	j.scan, err = look(ctx, p, j.manifest, criteria{want: want, percent: percent, losses: true, dir: c.scratch, rest: c.settings.rest})
	return j, err
}

// impossible is a flag that no entry has: everything needs work.
const impossible byte = 1 << 7

// forget starts a part's manifest anew; a rehearsal only in memory.
func (c *copier) forget(j *job) (err error) {
	if c.check {
		j.manifest = manifest.New()
		return nil
	}
	j.meta = meta{}
	return j.manifest.Forget()
}

// lock keeps a second run out, and this one until the processes of a killed run
// are gone. They inherit the lock.
func (c *copier) lock(ctx context.Context) (unlock func(), err error) {
	state := c.args.State()
	if err := durable.MakeFolder(state.Files()); err != nil {
		return nil, err
	}
	path := filepath.Join(state.Files(), "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	deadline := time.Now().Add(15 * time.Second)
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			c.rsync.lock = f
			return func() { f.Close() }, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			f.Close()
			return nil, problem.Problem{What: "another copy is under way", At: path, Fix: "wait until it ends; fuser shows its processes"}
		}
		time.Sleep(50 * time.Millisecond)
	}
}
