package mirror

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cidx-cluster/modules/internal/destination"
	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/repath"
	"cidx-cluster/modules/internal/rsync"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// Job is one part under way.
type Job struct {
	Part   *Part
	Scan   *Scan
	Result *Result
	Took   time.Duration

	manifest *manifest.Manifest
	Record
	trust trust
}

// Result is what a pass has done.
type Result struct {
	Writes      atomic.Int64
	CopiedFiles atomic.Int64
	CopiedBytes atomic.Int64
	Linked      atomic.Int64
	Deleted     atomic.Int64
	Compared    atomic.Int64
	Sampled     atomic.Int64
	Moving      atomic.Int64 // entries that changed while they were copied

	Aside    []string // moved there
	Repaired []string
	Warnings []string
	mu       sync.Mutex
}

// Warn adds a warning, once.
func (r *Result) Warn(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.Warnings, text) {
		r.Warnings = append(r.Warnings, text)
	}
}

func (r *Result) add(list *[]string, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*list = append(*list, text)
}

// Work reports whether there is anything to do for a part.
func (j *Job) Work() bool { return j.Scan.folders > 0 || len(j.Scan.gone) > 0 || j.Record.Open }

// Known reports whether a copy was made before, and whether anything is on record
// of how the share takes names and times.
func (j *Job) Known() bool { return j.trust == trusted && j.Record.Grain != 0 }

// Copied is the number of folders that are recorded as copied.
func (j *Job) Copied() int { return j.manifest.Len() }

// Unsure reports whether a part has folders of which it is not known how much of
// them is on the share already.
func (j *Job) Unsure() bool { return j.trust != trusted || j.Scan.Unsure > 0 }

// Touched reports whether there is work in what a name stands for.
func (j *Job) Touched(name string) bool {
	return j.Scan.Seen.Touched(name) || slices.ContainsFunc(j.Scan.gone, func(path string) bool {
		return repath.Within(path, name)
	})
}

// Apply brings one part to the share. check is done when everything is there,
// before it is made durable.
func (m *Mirror) Apply(ctx context.Context, j *Job, check func(context.Context) error) error {
	if j.Scan.Census.Folders == 0 {
		return nil
	}
	begun := time.Now()
	err := m.apply(ctx, j, check)
	j.Took = time.Since(begun)
	if err == nil {
		j.measure(m.Network)
		err = m.finish(j)
	}
	if err != nil {
		err = errors.Join(err, j.manifest.Close())
	}
	return err
}

func (m *Mirror) apply(ctx context.Context, j *Job, check func(context.Context) error) error {
	t, err := destination.Open(m.Mount, j.Part.Target, max(m.Grain, j.Record.Grain), j.Work())
	if err != nil {
		return err
	}
	defer t.Close()
	source, err := tree.Open(j.Part.Source)
	if err != nil {
		return err
	}
	defer source.Close()
	if j.Scan.links.elsewhere, err = m.elsewhere(j); err != nil {
		return err
	}
	if err := m.begin(j, t); err != nil {
		return err
	}
	s := &sides{part: j.Part, source: source, target: t, meter: m.Meter}
	p := &pass{Mirror: m, sides: s, scan: j.Scan, recheck: j.trust == doubted, result: j.Result}
	p.finds = &finds{sides: s, mount: m.Mount, aside: tree.NewAside(t.Share, j.Part.Name), result: j.Result}
	err = p.run(ctx, j, check)
	j.Result.Writes.Add(t.Writes.Load())
	if vanished(err) {
		j.Record.Boot = "" // so that the next run looks at the share again
		err = errors.Join(err, j.Record.write(j.Part))
	}
	return err
}

// vanished reports whether a pass has ended since something of the copy was gone:
// what it has recorded meanwhile may lie in a folder that was moved away.
func vanished(err error) bool {
	var r *rsync.Error
	return errors.Is(err, errReplaced) || missing(err) != "" || errors.As(err, &r) && r.Missing()
}

// begin records which copy the manifest is about, before the first entry.
func (m *Mirror) begin(j *Job, t *destination.Folder) error {
	root, err := t.Lstat("")
	if err != nil {
		return share.Fault("look at", t.Root, err)
	}
	if j.Record.Root != root.Ino || j.Record.Source != j.Part.Source || j.Record.Target != j.Part.Target {
		j.Record = Record{Source: j.Part.Source, Target: j.Part.Target, Root: root.Ino, Time: time.Now().UTC(), Grain: m.Grain}
	} else if !j.Work() {
		return nil
	}
	if err := j.Part.Found.Write(j.Part.findings()); err != nil {
		return err
	}
	if j.Record.Open = true; j.trust != doubted { // else a run that is killed before all was compared would end the doubt
		j.Record.Boot = bootID()
	}
	maps.DeleteFunc(j.Record.Checked, func(name, _ string) bool { return j.Touched(name) })
	return j.Record.write(j.Part)
}

// finish makes the manifest durable, and the record beside it if it tells
// anything new.
func (m *Mirror) finish(j *Job) error {
	j.dropStrangers()
	if err := errors.Join(j.Part.Found.Write(j.Part.findings()), j.manifest.Close()); err != nil {
		return err
	}
	old, err := readRecord(j.Part)
	if err != nil {
		return err
	}
	j.Record.Time, j.Record.Open = old.Time, false
	if j.Result.Writes.Load() == 0 && j.trust == trusted && reflect.DeepEqual(old, j.Record) {
		return nil
	}
	j.Record.Time = time.Now().UTC()
	return j.Record.write(j.Part)
}
