package files

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/mirror"
	"cidx-cluster/modules/internal/obstacle"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/rsync"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// step is one call of the module.
type step struct {
	mirror.Mirror
	args        args
	plainFolder bool // of tests
	info        share.Info
	layout      home.Layout
	moves       map[string]string // prefixes of paths that change in the copy
	owners      *mirror.Owners
	parts       []*part
	jobs        []*job
	lost        error   // of what was written to the share before this run
	downtime    float64 // seconds, forecast by a warm pass
}

// job is one part under way.
type job struct {
	*mirror.Job
	part *part
	git  []gitCheck
	told bool // the transcript has its line
}

// seen is what the last look has seen of CIDX.
func (j *job) seen() *seen { return j.Scan.Seen.(*seen) }

// start finds everything out, then forecasts or copies.
func start(ctx context.Context, a args, mode ansible.Mode, s settings) (ansible.Reply, error) {
	c := &step{args: a, plainFolder: s.plainFolder}
	c.Options, c.Check = s.Options, mode.Check
	if err := c.prepare(ctx); err != nil {
		return ansible.Reply{}, err
	}
	if len(c.parts) == 0 {
		return ansible.Reply{Skipped: "the repositories are on the share already"}, nil
	}
	if c.Check {
		return c.forecast(ctx)
	}
	return c.copy(ctx)
}

// prepare finds parts, share and rsync, and says how the copy goes; it reads only.
func (c *step) prepare(ctx context.Context) error {
	config, err := c.args.ClusterConfig(ctx)
	if err != nil && c.args.Share == "" {
		return err
	}
	if c.Mount, err = c.args.MountPoint(config); err != nil {
		return err
	}
	if c.layout, err = home.Detect(c.args.Home, c.Mount); err != nil {
		return err
	}
	c.moves = c.layout.Moves(config)
	if c.owners, err = mirror.Writers(); err != nil {
		return err
	}
	c.Scratch = c.args.State().Files()
	var problems problem.List
	c.Rsync, err = rsync.Find()
	problems.Add(err)
	c.info, err = share.Probe(ctx, c.Mount, share.Deadline, c.probes()...)
	problems.Add(err)
	if len(problems) == 0 {
		problems.Add(c.choose())
		problems = append(problems, c.standing()...)
	}
	c.Live, c.Compare, c.Reread = c.args.Phase == phaseWarm, c.args.Compare != compareNone, c.args.Compare == compareAll
	if !c.Live && c.args.Compare == compareChanged && !c.Check {
		c.Sample = c.args.SamplePercent
	}
	c.Network, c.Grain = c.info.Mount.Network(), c.info.Granularity
	c.Workers = c.args.processes(c.Network)
	for _, p := range c.partsOf(nil) {
		c.Others = append(c.Others, &p.Part)
	}
	// After a cut-over the cluster may have written to the share.
	entries, err := journal.Read(c.args.State().Journal())
	problems.Add(err)
	if last, ok := journal.Last(entries, home.ConfigModule); ok {
		c.Written = last.Time
	}
	return problems.Err()
}

// processes chooses how many rsync run at once. Measured on two cores: on a
// local disk more than one process per core only adds seeks, while on a share
// every process mostly waits.
func (a args) processes(network bool) int {
	switch {
	case a.Processes > 0:
		return a.Processes
	case network:
		return min(32, max(16, 4*runtime.NumCPU()))
	}
	return max(2, runtime.NumCPU())
}

// choose leaves out the parts that are on the share already: moved there, or
// linked or mounted from there by hand.
func (c *step) choose() error {
	inPlace := map[string]bool{}
	for _, t := range c.layout.Trees {
		state, err := t.LinkState()
		if err != nil {
			return err
		}
		inPlace[t.Local] = t.Moved() || state == home.LinkInPlace
	}
	for _, p := range c.partsOf(c.args.Parts) {
		if !inPlace[p.tree()] {
			c.parts = append(c.parts, p)
		}
	}
	return nil
}

// tree is the folder of the tree that a part is, or lies in.
func (p *part) tree() string {
	if p.Inside {
		return filepath.Dir(p.Source)
	}
	return p.Source
}

// standing are the reasons for which the trees that are copied cannot become
// links to the share.
func (c *step) standing() problem.List {
	var trees []home.Tree
	for _, t := range c.layout.Trees {
		if slices.ContainsFunc(c.parts, func(p *part) bool { return p.tree() == t.Local }) {
			trees = append(trees, t)
		}
	}
	return append(obstacle.Dangling(c.args.Home, c.Mount), obstacle.Anchored(trees)...)
}

// probes say where to probe: in a folder whose time this run puts right again.
func (c *step) probes() []share.Option {
	in := c.Mount
	for _, j := range c.jobs {
		if j.Work() && c.settled(j.part) {
			in = j.part.Target
			break
		}
	}
	list := []share.Option{share.In(in)}
	if c.plainFolder {
		list = append(list, share.Folder())
	}
	return list
}

// settled reports whether a part's folder on the share, and the one around it,
// are as a finished copy leaves them, or not there. In others only their maker
// may look, not the service user.
func (c *step) settled(p *part) bool {
	for source, target := p.Source, p.Target; len(target) > len(c.Mount); source, target = filepath.Dir(source), filepath.Dir(target) {
		is, err := tree.Lstat(unix.AT_FDCWD, target)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		was, failed := p.Lstat(source)
		if err != nil || failed != nil || is.Mode != was.Mode || is.UID != was.UID || is.GID != was.GID {
			return false
		}
	}
	return true
}
