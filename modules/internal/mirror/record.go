package mirror

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/regular"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// Record is what is remembered of a part beside its manifest.
type Record struct {
	Source  string            `json:"source"`
	Target  string            `json:"target"`
	Open    bool              `json:"open"`             // a pass has begun and not ended
	Boot    string            `json:"boot,omitempty"`   // of the machine, when it began
	Root    uint64            `json:"root"`             // inode of the target: another one is another copy
	Time    time.Time         `json:"time"`             // of the last pass
	Grain   int64             `json:"time_granularity"` // of the share, in ns
	Speed   Speed             `json:"speed"`
	Checked map[string]string `json:"checked,omitempty"` // what the owner has checked since it changed last, with what there was to tell
}

// readRecord returns an empty record where there is none or a damaged one: then
// the copy is looked at instead of believed.
func readRecord(p *Part) (Record, error) {
	var r Record
	raw, err := regular.Read(p.beside(".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("read record of the copy: %w", err)
	}
	if json.Unmarshal(raw, &r) != nil {
		return Record{}, nil
	}
	return r, nil
}

// write replaces the record in one step.
func (r Record) write(p *Part) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode record of the copy: %w", err)
	}
	if err := durable.Write(p.beside(".json"), append(raw, '\n'), nil); err != nil {
		return fmt.Errorf("write record of the copy: %w", err)
	}
	return nil
}

// trust says how far a part's manifest may be believed.
type trust int

const (
	trusted   trust = iota
	doubted         // look at the share again, but deletions may be followed
	worthless       // it tells of another copy
)

// trustIn compares the record with what is there; others may have written to the
// share at written.
func trustIn(p *Part, r Record, written time.Time) trust {
	if r.Source != p.Source || r.Target != p.Target {
		return worthless
	}
	root, err := tree.Lstat(unix.AT_FDCWD, p.Target)
	switch {
	case err != nil || !root.IsDir() || root.Ino != r.Root:
		return worthless
	case r.Open && r.Boot != bootID(): // what it wrote may not have reached the disk
		return doubted
	case written.After(r.Time):
		return doubted
	}
	return trusted
}

// WriteOut brings the bulk to the disk while the source still lives: what the
// next pass has to wait for is little then.
func (m *Mirror) WriteOut() error {
	root, err := tree.Open(m.Mount)
	if err != nil {
		return share.Fault("open", m.Mount, err)
	}
	defer root.Close()
	return m.sync(root.FD(), m.Mount)
}

// sync makes durable what was written to the share. What of it is lost, by a file
// server that was away, the kernel tells once, to whoever asks next (syncfs(2)):
// until a run has compared everything, no comparison counts.
func (m *Mirror) sync(fd int, at string) error {
	sync := unix.Syncfs
	if m.Syncfs != nil {
		sync = m.Syncfs
	}
	err := share.Fault("sync", at, sync(fd))
	m.lost = m.lost || err != nil
	for _, j := range m.jobs {
		err = errors.Join(err, m.doubt(j))
	}
	return err
}

// doubt notes for a part that the share has lost writes.
func (m *Mirror) doubt(j *Job) error {
	if !m.lost {
		return nil
	}
	j.Record.Open, j.Record.Boot = true, ""
	return j.Record.write(j.Part)
}

// bootID is another one after each start of the machine; "" where the kernel
// does not tell.
func bootID() string {
	id, err := regular.Read("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// Speed is how fast a copy goes.
type Speed struct {
	Files float64 `json:"files"` // a second
	Bytes float64 `json:"bytes"` // a second
}

// guess is what to expect where nothing was measured yet: low rather than high.
func guess(network bool) Speed {
	if network {
		return Speed{Files: 400, Bytes: 60e6}
	}
	return Speed{Files: 2500, Bytes: 120e6}
}

// Seconds is the time for that much.
func (s Speed) Seconds(files, bytes int64) float64 {
	return float64(files)/s.Files + float64(bytes)/s.Bytes
}

// Speed is that of the pass that has just ended, if it was long enough to tell;
// otherwise what an earlier one has left.
func (m *Mirror) Speed() Speed {
	s := guess(m.Network)
	for _, j := range m.jobs {
		if j.Record.Speed.Files > 0 && j.Record.Speed.Bytes > 0 {
			s = j.Record.Speed
		}
	}
	return s
}

// Left is the time that a part takes now.
func (s Speed) Left(j *Job) float64 { return s.Seconds(j.Scan.Copies+j.Scan.folders, j.Scan.Bytes) }

// measure remembers a part's speed: the time is split between files and bytes as
// the guess would split it.
func (j *Job) measure(network bool) {
	files, bytes := j.Result.CopiedFiles.Load(), j.Result.CopiedBytes.Load()
	seconds := j.Took.Seconds()
	if files < 100 && bytes < 100<<20 || seconds < 0.5 {
		return
	}
	g := guess(network)
	factor := g.Seconds(files, bytes) / seconds
	j.Record.Speed = Speed{Files: g.Files * factor, Bytes: g.Bytes * factor}
}
