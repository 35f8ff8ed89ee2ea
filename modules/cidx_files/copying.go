package files

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/service"
	"cidx-cluster/modules/internal/tree"
)

// copy does the real run: look at all parts, then apply them one after another.
func (c *copier) copy(ctx context.Context) (ansible.Reply, error) {
	unlock, err := c.lock(ctx)
	if err != nil {
		return ansible.Reply{}, err
	}
	defer unlock()
	c.scratch = c.args.State().Files()
	if err := c.lookAtAll(ctx); err != nil {
		return c.reply(), err
	}
	if c.others() > 0 { // only an owner may leave the access time alone
		c.rsync.noatime = func() bool { return false }
	}
	if c.work() {
		if err := c.admit(ctx); err != nil {
			return c.reply(), err
		}
	}
	bytes, files := c.total()
	c.meter = newMeter(ctx, "files", bytes, files)
	defer c.meter.end()
	err = c.watched(ctx, c.applyAll)
	if err == nil && c.args.Phase == phaseDelta { // what was copied under a living server is not the last word
		err = service.StillStopped(ctx, c.args.Common)
	}
	reply := c.reply()
	if reply.Changed {
		event := c.args.Phase
		if err != nil {
			event += " interrupted"
		}
		err = errors.Join(err, journal.Append(c.args.State().Journal(), "cidx_files", event, c.record()))
	}
	return reply, err
}

// lookAtAll scans every part before anything is changed.
func (c *copier) lookAtAll(ctx context.Context) error {
	var problems problem.List
	for _, p := range c.parts {
		j, err := c.open(ctx, p)
		if err != nil {
			return err
		}
		c.jobs = append(c.jobs, j)
		problems = append(problems, c.faults(j)...)
	}
	return problems.Err()
}

// faults are reasons not to copy that show in the source.
func (c *copier) faults(j *job) problem.List {
	var problems problem.List
	for _, u := range j.scan.census.unreadable {
		problems = append(problems, j.part.unreadable(u))
	}
	problems = append(problems, j.scan.census.links...)
	if j.scan.census.Folders == 0 && j.manifest.Len() > 0 {
		problems = append(problems, problem.Problem{What: "the folder has vanished, although it was copied before", At: j.part.source, Fix: "find out where it is; to give the copy up, remove it from the share and " + c.args.State().Manifest(j.part.name)})
		return problems
	}
	if percent := 100 * float64(j.scan.vanish) / float64(max(1, j.scan.known)); percent > c.args.DeletePercent && j.scan.vanish > 10 {
		problems = append(problems, problem.Problem{
			What: fmt.Sprintf("%.0f %% of what was copied (%d of %d files) has vanished at the source", percent, j.scan.vanish, j.scan.known),
			At:   j.part.source, Fix: "check that the folder is complete; if it is, allow the deletion with cidx_files delete_percent: 100",
		})
	}
	return problems
}

func (c *copier) work() bool {
	return slices.ContainsFunc(c.jobs, func(j *job) bool { return j.work() })
}

func (c *copier) total() (bytes, files int64) {
	for _, j := range c.jobs {
		bytes += j.scan.bytes
		files += j.scan.copies
	}
	return bytes, files
}

// applyAll brings every part to the share.
func (c *copier) applyAll(ctx context.Context) error {
	if c.args.Phase == phaseWarm {
		return c.applyWarm(ctx)
	}
	return c.applyJobs(ctx)
}

func (c *copier) applyJobs(ctx context.Context) error {
	for _, j := range c.jobs {
		if err := c.apply(ctx, j); err != nil {
			return errors.Join(err, j.manifest.Close())
		}
	}
	return nil
}

// apply brings one part to the share.
func (c *copier) apply(ctx context.Context, j *job) error {
	begun := time.Now()
	if c.args.Phase == phaseDelta {
		progress.Line(ctx, "  rsync %s -> %s/", j.part.label, j.part.target)
	}
	if j.scan.census.Folders == 0 {
		j.took = time.Since(begun)
		c.tell(ctx, j)
		return nil
	}
	t, err := openTarget(c.share, j.part.target, max(c.info.Granularity, j.meta.Grain), j.work())
	if err != nil {
		return err
	}
	defer t.close()
	source, err := tree.Open(j.part.source)
	if err != nil {
		return err
	}
	defer source.Close()
	j.scan.links.elsewhere, err = c.elsewhere(j)
	if err != nil {
		return err
	}
	p := &pass{copier: c, part: j.part, scan: j.scan, target: t, recheck: j.trust == doubted, reread: c.args.Compare == compareAll, aside: tree.NewAside(t.share, j.part.name), result: j.result, source: source}
	if err := c.begin(j, t); err != nil {
		return err
	}
	err = p.run(ctx, j)
	j.result.writes.Add(t.writes.Load())
	j.took = time.Since(begun)
	if vanished(err) {
		j.meta.Boot = "" // so that the next run looks at the share again
		err = errors.Join(err, j.meta.write(c.args.State(), j.part.name))
	}
	if err != nil {
		return err
	}
	j.note(c.info.Mount.Network())
	if err := c.finish(j); err != nil {
		return err
	}
	c.tell(ctx, j)
	return nil
}

// run applies the scan, reads the sample, and checks the clones.
func (p *pass) run(ctx context.Context, j *job) error {
	if j.work() {
		err := p.apply(ctx)
		if errors.Is(err, errReplaced) {
			p.result.warn(fmt.Sprintf("%v; everything in %s was looked at again", err, p.target.root))
			err = p.applyDoubted(ctx, j)
		}
		if err != nil {
			return err
		}
	}
	differing, err := p.checkSample(ctx)
	if err == nil && len(differing) > 0 {
		p.result.warn(fmt.Sprintf("%s: %d of %d sampled files differ from the source although nothing changed there (%s); everything was compared again", p.part.target, len(differing), p.result.sampled.Load(), differing[0]))
		err = p.applyDoubted(ctx, j)
	}
	if err != nil {
		return err
	}
	if err := p.checkGit(ctx, j); err != nil {
		return err
	}
	// Only what the server will stand on has to be on the disk; the bulk gets
	// there by itself while the server still runs.
	if p.target.writes.Load() == 0 || p.args.Phase == phaseWarm {
		return nil
	}
	return p.target.sync()
}

// applyDoubted looks at everything on the share again.
func (p *pass) applyDoubted(ctx context.Context, j *job) error {
	s, err := look(ctx, p.part, p.scan.manifest, criteria{want: impossible, losses: true, dir: p.scratch})
	if err != nil {
		return err
	}
	p.scan.close()
	p.target.dir.Forget("") // folders that are open may have been moved away
	j.scan, p.scan, p.recheck = s, s, true
	if s.links.elsewhere, err = p.elsewhere(j); err != nil {
		return err
	}
	return p.apply(ctx)
}

// begin records which copy the manifest is about, before the first entry.
func (c *copier) begin(j *job, t *target) error {
	root, err := t.lstat("")
	if err != nil {
		return fault("look at", t.root, err)
	}
	if j.meta.Root != root.Ino || j.meta.Source != j.part.source || j.meta.Target != j.part.target {
		j.meta = meta{Source: j.part.source, Target: j.part.target, Root: root.Ino, Time: time.Now().UTC(), Grain: c.info.Granularity}
	} else if !j.work() {
		return nil
	}
	if err := j.part.found.write(c.args.State(), j.part.name); err != nil {
		return err
	}
	j.meta.Open, j.meta.Boot = true, bootID()
	maps.DeleteFunc(j.meta.Git, func(repo string, _ bool) bool { return j.scan.touched(repo) })
	return j.meta.write(c.args.State(), j.part.name)
}

// finish makes the manifest durable, and the record beside it if it tells
// anything new.
func (c *copier) finish(j *job) error {
	j.dropStrangers()
	if err := errors.Join(j.part.found.write(c.args.State(), j.part.name), j.manifest.Close()); err != nil {
		return err
	}
	old, err := readMeta(c.args.State(), j.part.name)
	if err != nil {
		return err
	}
	j.meta.Time, j.meta.Open = old.Time, false
	if j.result.writes.Load() == 0 && j.trust == trusted && reflect.DeepEqual(old, j.meta) {
		return nil
	}
	j.meta.Time = time.Now().UTC()
	return j.meta.write(c.args.State(), j.part.name)
}
