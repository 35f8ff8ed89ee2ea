package files

import (
	"context"
	"math"
	"os"
	"time"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/progress"
)

// speed is how fast a copy goes.
type speed struct {
	Files float64 `json:"files"` // a second
	Bytes float64 `json:"bytes"` // a second
}

// guess is what to expect where nothing was measured yet: low rather than high.
func guess(network bool) speed {
	if network {
		return speed{Files: 400, Bytes: 60e6}
	}
	return speed{Files: 2500, Bytes: 120e6}
}

// seconds is the time for that much.
func (s speed) seconds(files, bytes int64) float64 {
	return float64(files)/s.Files + float64(bytes)/s.Bytes
}

// measured is the speed of the pass that has just ended, if it was long enough
// to tell; otherwise what an earlier one has left.
func (c *copier) measured() speed {
	s := guess(c.info.Mount.Network())
	for _, j := range c.jobs {
		if j.meta.Speed.Files > 0 && j.meta.Speed.Bytes > 0 {
			s = j.meta.Speed
		}
	}
	return s
}

// note remembers a part's speed: the time is split between files and bytes as
// the guess would split it.
func (j *job) note(network bool) {
	files, bytes := j.result.copiedFiles.Load(), j.result.copiedBytes.Load()
	seconds := j.took.Seconds()
	if files < 100 && bytes < 100<<20 || seconds < 0.5 {
		return
	}
	g := guess(network)
	factor := g.seconds(files, bytes) / seconds
	j.meta.Speed = speed{Files: g.Files * factor, Bytes: g.Bytes * factor}
}

// rounds bounds the passes while the server runs; each makes the next shorter.
const rounds = 3

// short is a downtime that another pass would not shorten noticeably.
const short = 5 // seconds

// applyWarm copies until little is left to do, and says how long the rest will
// take after the stop.
func (c *copier) applyWarm(ctx context.Context) error {
	for round := 1; ; round++ {
		if err := c.applyJobs(ctx); err != nil {
			return err
		}
		downtime, err := c.lookAgain(ctx)
		if err != nil {
			return err
		}
		if downtime <= short || round == rounds || !c.work() {
			c.downtime = downtime
			what := "Expected downtime for the rest"
			if standing, err := c.args.Standing(); err == nil && standing.Stopped {
				what = "Left for the second copy" // it is down already
			}
			progress.Line(ctx, "  %s: about %.0f s", what, math.Ceil(downtime))
			return nil
		}
		bytes, files := c.total()
		c.meter.add(bytes, files)
	}
}

// lookAgain scans every part anew and returns the seconds that a delta pass
// would take now.
func (c *copier) lookAgain(ctx context.Context) (seconds float64, err error) {
	begun := time.Now()
	speed := c.measured()
	for _, j := range c.jobs {
		j.trust = trusted
		now, err := look(ctx, j.part, j.manifest, criteria{want: c.wanted(), losses: true, dir: c.scratch})
		if err != nil {
			return 0, err
		}
		before := j.scan.census
		j.scan.close()
		if j.scan = now; before.Folders > 0 && j.scan.census.Folders == 0 {
			return 0, c.faults(j).Err()
		}
		seconds += speed.seconds(j.scan.copies+j.scan.folders, j.scan.bytes)
	}
	return seconds + time.Since(begun).Seconds(), nil
}

// forecast is the rehearsal.
func (c *copier) forecast(ctx context.Context) (ansible.Reply, error) {
	var err error
	if c.scratch, err = c.listFolder(); err != nil { // told where the lists are written
		c.scratch = os.TempDir()
	}
	if err := c.lookAtAll(ctx); err != nil {
		return c.reply(), err
	}
	problems, err := c.leftovers(ctx)
	r := c.reply()
	if err != nil {
		return r, err
	}
	r.Warnings = append(r.Warnings, c.uncheckedClones(ctx)...)
	problems = append(problems, c.room()...)
	r.Changed = c.work()
	speed := c.measured()
	bytes, files := c.total()
	scan, inodes := 0.0, int64(0)
	for _, j := range c.jobs {
		scan += j.scan.took.Seconds()
		inodes += j.scan.census.entries()
	}
	// After a warm pass about one file in a hundred has changed.
	const share = 0.01
	all := r.Data["census"].(*census)
	r.Data["forecast"] = map[string]any{
		"bytes": all.Bytes, "inodes": inodes, "copy_bytes": bytes, "copy_files": files,
		"warm_seconds":  math.Ceil(scan + speed.seconds(files, bytes)),
		"delta_seconds": math.Ceil(scan + share*speed.seconds(all.Files, all.Bytes)),
	}
	return r, problems.Err()
}
