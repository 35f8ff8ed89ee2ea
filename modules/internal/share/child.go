package share

import (
	"cmp"
	"errors"
	"os"
	"time"

	"cidx-cluster/modules/internal/child"
)

var probe = child.New("probe", func(r request, tell func(answer)) error {
	s := server{request: r, tell: tell}
	s.serve()
	s.answer.Doing = ""
	tell(s.answer)
	return nil
})

// answer is what a child has found. The child sends it anew before each probe,
// so that the parent knows where it hung.
type answer struct {
	Doing   string // the probe under way; "" at the end
	Real    string // the path without symbolic links
	Work    string // the probe folder
	Info    Info   // capacity and peculiarities
	Looked  bool   // Info's capacity is valid
	Results []Result
}

// fill copies what a child found into the parent's Info.
func (a answer) fill(into *Info) {
	into.Results = append(into.Results, a.Results...)
	if a.Looked {
		mount, mounted, results, hung := into.Mount, into.Mounted, into.Results, into.Hung
		*into = a.Info
		into.Mount, into.Mounted, into.Results, into.Hung = mount, mounted, results, hung
		return
	}
	into.HardLinks = into.HardLinks || a.Info.HardLinks
	into.Caseless = into.Caseless || a.Info.Caseless
	into.Granularity = max(into.Granularity, a.Info.Granularity)
	if len(into.BadNames) == 0 {
		into.BadNames = a.Info.BadNames
	}
}

// run starts a child for one task and returns its last answer. A child that
// does not end in time is killed and left alone; that is a problem.
func (p *prober) run(do string, r request) answer {
	r.Do = do
	var last answer
	err := probe.Ask(p.ctx, r, func(a answer) { last = a })
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded) && p.caller.Err() != nil:
		p.problem("run the step again", "probe interrupted")
	case errors.Is(err, os.ErrDeadlineExceeded):
		p.info.Hung = true
		p.problem("check the file server and the network; a mount that stays dead is removed with: umount -f -l "+r.Mount,
			"the share does not answer: %s hangs since %.0f s", cmp.Or(last.Doing, "start"), time.Since(p.start).Seconds())
	default:
		p.problem("run the step again; if it stays, probe the share by hand", "probe share: %v", err)
	}
	return last
}

const workPrefix = ".cidx-probe-"
