package files

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/service"
)

// copy does the real run: look at all parts, then apply them one after another.
func (c *step) copy(ctx context.Context) (ansible.Reply, error) {
	if err := durable.MakeFolder(c.Scratch); err != nil {
		return ansible.Reply{}, err
	}
	unlock, err := c.Lock(ctx, filepath.Join(c.Scratch, "lock"))
	if err != nil {
		return ansible.Reply{}, err
	}
	defer unlock()
	if c.Live {
		c.lost = c.WriteOut() // what others left in memory: that it is lost is no fault of this run
	}
	if err := c.lookAtAll(ctx); err != nil {
		return c.reply(), err
	}
	if c.others() > 0 { // only an owner may leave the access time alone
		c.Rsync.TouchTimes()
	}
	if c.Work() {
		if err := c.admit(ctx); err != nil {
			return c.reply(), err
		}
	}
	apply := c.apply
	if c.Live {
		apply = c.applyWarm
	}
	err = c.Run(ctx, apply)
	if err == nil && !c.Live { // what was copied under a living server is not the last word
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

// lookAtAll looks at every part before anything is changed.
func (c *step) lookAtAll(ctx context.Context) error {
	var problems problem.List
	for _, p := range c.parts {
		j, err := c.Open(ctx, &p.Part)
		if err != nil {
			return err
		}
		c.jobs = append(c.jobs, &job{Job: j, part: p})
		problems = append(problems, c.faults(c.jobs[len(c.jobs)-1])...)
	}
	return problems.Err()
}

// faults are reasons not to copy that show in the source.
func (c *step) faults(j *job) problem.List {
	var problems problem.List
	for _, u := range j.Scan.Census.Unreadable {
		problems = append(problems, j.part.unreadable(u))
	}
	problems = append(problems, j.seen().followed...)
	if j.Scan.Census.Folders == 0 && j.Copied() > 0 {
		return append(problems, problem.Problem{
			What: "the folder has vanished, although it was copied before", At: j.part.Source,
			Fix: "find out where it is; to give the copy up, remove it from the share and " + j.part.Manifest,
		})
	}
	gone, all := j.Scan.Vanished, j.Scan.Known
	if percent := 100 * float64(gone) / float64(max(1, all)); percent > c.args.DeletePercent && gone > 10 {
		problems = append(problems, problem.Problem{
			What: fmt.Sprintf("%.0f %% of what was copied (%d of %d files) has vanished at the source", percent, gone, all),
			At:   j.part.Source, Fix: "check that the folder is complete; if it is, allow the deletion with cidx_files delete_percent: 100",
		})
	}
	return problems
}

// apply brings every part to the share.
func (c *step) apply(ctx context.Context) error {
	for _, j := range c.jobs {
		if !c.Live {
			progress.Line(ctx, "  rsync %s -> %s/", j.part.label, j.part.Target)
		}
		if err := c.Apply(ctx, j.Job, func(ctx context.Context) error { return c.checkGit(ctx, j) }); err != nil {
			return err
		}
		c.tell(ctx, j)
	}
	return nil
}

const (
	rounds = 3 // at most, while the server runs; each makes the next shorter
	short  = 5 // seconds of downtime that another pass would not shorten noticeably
)

// applyWarm copies until little is left to do, and says how long the rest will
// take after the stop.
func (c *step) applyWarm(ctx context.Context) error {
	for round := 1; ; round++ {
		err := c.apply(ctx)
		if err == nil {
			c.downtime, err = c.lookAgain(ctx)
		}
		if err != nil {
			return err
		}
		if c.downtime <= short || round == rounds || !c.Work() {
			break
		}
		c.Meter.Add(c.Total())
	}
	what := "Expected downtime for the rest"
	if standing, err := c.args.Standing(); err == nil && standing.Stopped {
		what = "Left for the second copy" // it is down already
	}
	progress.Line(ctx, "  %s: about %.0f s", what, math.Ceil(c.downtime))
	return c.WriteOut()
}

// lookAgain looks at every part anew and returns the seconds that a delta pass
// would take now.
func (c *step) lookAgain(ctx context.Context) (seconds float64, err error) {
	speed := c.Speed()
	for _, j := range c.jobs {
		gone, err := c.Again(ctx, j.Job)
		if err != nil {
			return 0, err
		}
		if gone {
			return 0, c.faults(j).Err()
		}
		seconds += speed.Left(j.Job) + j.Scan.Took.Seconds()
	}
	return seconds, nil
}

// forecast is the rehearsal.
func (c *step) forecast(ctx context.Context) (ansible.Reply, error) {
	var err error
	if c.Scratch, err = c.listFolder(); err != nil { // told where the lists are written
		c.Scratch = os.TempDir()
	}
	if err := c.lookAtAll(ctx); err != nil {
		return c.reply(), err
	}
	c.uncheckedClones(ctx)
	problems, err := c.Leftovers(ctx)
	r := c.reply()
	if err != nil {
		return r, err
	}
	problems = append(problems, c.room()...)
	r.Changed = c.Work()
	speed := c.Speed()
	bytes, files := c.Total()
	scan, inodes := 0.0, int64(0)
	for _, j := range c.jobs {
		scan += j.Scan.Took.Seconds()
		inodes += j.Scan.Census.Entries()
	}
	// After a warm pass about one file in a hundred has changed.
	const share = 0.01
	all := r.Data["census"].(*census)
	r.Data["forecast"] = map[string]any{
		"bytes": all.Bytes, "inodes": inodes, "copy_bytes": bytes, "copy_files": files,
		"warm_seconds":  math.Ceil(scan + speed.Seconds(files, bytes)),
		"delta_seconds": math.Ceil(scan + share*speed.Seconds(all.Files, all.Bytes)),
	}
	return r, problems.Err()
}
