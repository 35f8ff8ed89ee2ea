package files

import (
	"context"
	"fmt"
	"slices"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// admit proves, before the first byte, that the share takes what is to come.
// What an earlier pass has proven is not probed again: every moment counts when
// the server stands still.
func (c *copier) admit(ctx context.Context) error {
	proven := !slices.ContainsFunc(c.jobs, func(j *job) bool {
		return j.scan.census.Folders > 0 && (j.trust != trusted || j.meta.Grain == 0)
	})
	if proven {
		return c.room().Err()
	}
	info, err := share.Probe(ctx, c.share, share.Deadline, append(c.probes(), share.Writing())...)
	if err != nil {
		return err
	}
	c.info = info
	return append(c.room(), c.names()...).Err()
}

// names are problems of names that the share does not take.
func (c *copier) names() problem.List {
	var problems problem.List
	for _, j := range c.jobs {
		for _, kind := range c.info.BadNames {
			if n := j.scan.census.BadNames[kind]; n > 0 {
				problems = append(problems, problem.Problem{What: fmt.Sprintf("%d names that the share refuses: %s", n, kind), At: j.part.source, Fix: "rename them at the source, or choose a share that takes them"})
			}
		}
	}
	if c.info.Caseless {
		problems = append(problems, problem.Problem{What: "the share takes A and a for the same name", At: c.share, Fix: "choose a share that tells upper from lower case, as git and CIDX need"})
	}
	return problems
}

// room compares what is to be copied with what is free.
func (c *copier) room() problem.List {
	var problems problem.List
	bytes, files := c.total()
	var folders int64
	for _, j := range c.jobs {
		folders += j.scan.unsure
	}
	if slices.ContainsFunc(c.jobs, (*job).unsure) && c.resumes() {
		return nil // how much of it is there already shows only on the way
	}
	if free := c.info.BytesFree; uint64(max(0, bytes)) > free {
		problems = append(problems, problem.Problem{What: fmt.Sprintf("%s to copy, %s free", human.Bytes(bytes), human.Bytes(int64(free))), At: c.share, Fix: fixFull})
	}
	if need := uint64(files + folders); c.info.InodesTotal > 0 && need > c.info.InodesFree {
		problems = append(problems, problem.Problem{What: fmt.Sprintf("%d inodes needed, %d free", need, c.info.InodesFree), At: c.share, Fix: fixFull})
	}
	return problems
}

// resumes reports whether the share has something of a part already.
func (c *copier) resumes() bool {
	return slices.ContainsFunc(c.jobs, func(j *job) bool {
		e, err := tree.Lstat(atCwd, j.part.target)
		return err == nil && e.IsDir()
	})
}
