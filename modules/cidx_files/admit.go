package files

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// admit proves, before the first byte, that the share takes what is to come.
// What an earlier pass has proven is not probed again: every moment counts when
// the server stands still.
func (c *step) admit(ctx context.Context) error {
	if !slices.ContainsFunc(c.jobs, func(j *job) bool { return j.Scan.Census.Folders > 0 && !j.Known() }) {
		return c.room().Err()
	}
	info, err := share.Probe(ctx, c.Mount, share.Deadline, append(c.probes(), share.Writing())...)
	if err != nil {
		return err
	}
	c.info, c.Grain = info, info.Granularity
	return append(c.room(), c.names()...).Err()
}

// names are problems of names that the share does not take.
func (c *step) names() problem.List {
	var problems problem.List
	for _, j := range c.jobs {
		for _, kind := range c.info.BadNames {
			if n := j.Scan.Census.BadNames[kind]; n > 0 {
				problems = append(problems, problem.Problem{
					What: fmt.Sprintf("%d names that the share refuses: %s", n, kind), At: j.part.Source,
					Fix: "rename them at the source, or choose a share that takes them",
				})
			}
		}
	}
	if c.info.Caseless {
		problems = append(problems, problem.Problem{
			What: "the share takes A and a for the same name", At: c.Mount,
			Fix: "choose a share that tells upper from lower case, as git and CIDX need",
		})
	}
	return problems
}

// room compares what is to be copied with what is free.
func (c *step) room() problem.List {
	var problems problem.List
	bytes, need := c.Total()
	unsure, begun := false, false
	for _, j := range c.jobs {
		need += j.Scan.Unsure
		e, err := tree.Lstat(unix.AT_FDCWD, j.part.Target)
		unsure, begun = unsure || j.Unsure(), begun || err == nil && e.IsDir()
	}
	if unsure && begun {
		return nil // how much of it is there already shows only on the way
	}
	if free := c.info.BytesFree; uint64(max(0, bytes)) > free {
		what := fmt.Sprintf("%s to copy, %s free", human.Bytes(bytes), human.Bytes(int64(free)))
		problems = append(problems, problem.Problem{What: what, At: c.Mount, Fix: share.FixFull})
	}
	if c.info.InodesTotal > 0 && uint64(need) > c.info.InodesFree {
		what := fmt.Sprintf("%d inodes needed, %d free", need, c.info.InodesFree)
		problems = append(problems, problem.Problem{What: what, At: c.Mount, Fix: share.FixFull})
	}
	return problems
}
