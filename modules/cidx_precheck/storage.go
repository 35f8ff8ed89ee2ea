package precheck

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// share checks that the shared storage is mounted and usable.
func (e *examiner) share(ctx context.Context) outcome {
	f := &e.found
	if f.mountErr != nil {
		if f.nowErr != nil || f.err != nil {
			return outcome{blocked: "config.json names no share"}
		}
		return outcome{problems: problem.Of(f.mountErr)}
	}
	var options []share.Option
	if !e.check {
		options = append(options, share.Writing())
	}
	if e.plain {
		options = append(options, share.Folder())
	}
	if f.hung != nil {
		return outcome{problems: problem.Of(f.hung)}
	}
	info, err := share.Probe(ctx, f.mount, e.deadline(), options...)
	e.reply.Data["share"] = info
	if err != nil {
		if info.Hung {
			f.hung = err
		}
		return outcome{problems: problem.Of(err)}
	}
	e.warnings = append(e.warnings, peculiar(f.mount, info)...)
	detail := fmt.Sprintf("%s, %s free", f.mount, human.Bytes(int64(info.BytesFree)))
	more := detail
	if info.Mounted {
		more += fmt.Sprintf(", %s from %s", info.Mount.Type, info.Mount.Source)
	}
	return outcome{detail: detail, more: more}
}

// peculiar tells what works, but not as on a local disk.
func peculiar(mount string, info share.Info) []string {
	var list []string
	if info.Mounted && !info.Mount.Network() && info.Mount.Type != "tmpfs" && !strings.HasPrefix(info.Mount.Type, "fuse") {
		list = append(list, fmt.Sprintf("%s is %s on %s, which other nodes do not see", mount, info.Mount.Type, info.Mount.Source))
	}
	if info.Mount.Has("soft") {
		list = append(list, mount+" is mounted soft: after a time-out of the file server writes are lost, and git can crash")
	}
	if info.Caseless {
		list = append(list, mount+" does not tell A from a; repositories with such names would collide")
	}
	for _, kind := range info.BadNames {
		list = append(list, mount+" refuses file names of this kind: "+kind)
	}
	return list
}

// alive asks whether the share reacts; one that did not is not asked again.
func (e *examiner) alive(ctx context.Context) error {
	f := &e.found
	if f.mount != "" && f.hung == nil {
		f.hung = share.Alive(ctx, f.mount, e.deadline())
	}
	return f.hung
}

// deadline bounds a probe.
func (e *examiner) deadline() time.Duration { return cmp.Or(e.patience, share.Deadline) }

// space compares what will be copied with what is free, in bytes and inodes.
func (e *examiner) space(ctx context.Context) outcome {
	f := &e.found
	if f.mountErr != nil || (f.err != nil && f.cluster.Share == "" && e.Share == "") {
		return outcome{blocked: "config.json names no share"}
	}
	layout, err := e.where(ctx)
	if err != nil {
		return outcome{blocked: "the repositories were not found"}
	}
	if err := e.alive(ctx); err != nil {
		return outcome{blocked: "the share does not answer"}
	}
	room, err := roomOf(f.mount)
	if err != nil {
		return outcome{problems: problem.List{wrong(err.Error(), f.mount, "mount the shared storage")}}
	}
	if f.migrated {
		return outcome{detail: human.Bytes(room.bytesFree) + " free, nothing to copy"}
	}
	need, err := needed(ctx, layout, false)
	if err != nil {
		return outcome{problems: problem.Of(err)}
	}
	problems := e.compare(need, room)
	if len(problems) > 0 {
		// An earlier run may have copied much of it already.
		there, err := share.Guard(ctx, share.Watch{Mount: f.mount}, amount{}, func(ctx context.Context) (amount, error) {
			return needed(ctx, layout, true)
		})
		if err != nil {
			return outcome{problems: problem.Of(err)}
		}
		need = amount{max(0, need.bytes-there.bytes), max(0, need.files-there.files)}
		problems = e.compare(need, room)
	}
	kept, snapshots, err := e.snapshots()
	problems.Add(err)
	problems = append(problems, kept...)
	e.reply.Data["forecast"] = map[string]any{"bytes": need.bytes, "files": need.files, "snapshot_bytes": snapshots}
	return outcome{detail: fmt.Sprintf("%s needed, %s free", human.Bytes(need.bytes), human.Bytes(room.bytesFree)), problems: problems}
}

type amount struct{ bytes, files int64 }

// needed adds the trees up, as they will be on the share: apparent sizes, since
// snapshots that share blocks here do not there. With copied it looks at what
// is on the share.
func needed(ctx context.Context, layout home.Layout, copied bool) (amount, error) {
	var bytes, files atomic.Int64
	last := atomic.Int64{}
	for _, t := range layout.Trees {
		root := t.Local
		if copied {
			root = t.Target
		}
		if info, err := os.Stat(root); err != nil || !info.IsDir() {
			continue
		}
		options := tree.Options{
			Skip:       func(dir string, entry *tree.Entry) bool { return leftOut(t.Name, dir, entry.Name) },
			Unreadable: func(string, error) {}, // the copy's rehearsal lists them
		}
		err := tree.Walk(ctx, root, options, func(d *tree.Dir) error {
			files.Add(1)
			for i := range d.Entries {
				entry := &d.Entries[i]
				if entry.IsDir() {
					continue
				}
				files.Add(1)
				if entry.IsRegular() {
					bytes.Add(entry.Size)
				}
			}
			if now := time.Now().Unix(); last.Swap(now) != now {
				progress.Report(ctx, progress.Status{What: "counting " + root, Done: files.Load(), Unit: "files"})
			}
			return nil
		})
		if err != nil {
			return amount{}, err
		}
	}
	return amount{bytes.Load(), files.Load()}, nil
}

// leftOut are the folders that are not copied: caches, locks and garbage, and
// the file server's own snapshots.
func leftOut(name, dir, entry string) bool {
	if dir != "" {
		return false
	}
	switch entry {
	case ".snapshot":
		return true
	case ".cache", ".locks", ".write_mode", ".cidx-copy":
		return name == cidx.GoldenRepos
	case ".trash":
		return name == cidx.ActivatedRepos
	}
	return false
}

// compare demands free_percent of the whole to be left.
func (e *examiner) compare(need amount, r room) problem.List {
	var problems problem.List
	reserve := func(total int64) int64 { return int64(float64(total) * e.FreePercent / 100) }
	if left := reserve(r.bytesTotal); need.bytes+left > r.bytesFree {
		problems.Add(wrong(fmt.Sprintf("not enough space: %s to copy and %s (%g %%) to stay free, but only %s are free",
			human.Bytes(need.bytes), human.Bytes(left), e.FreePercent, human.Bytes(r.bytesFree)), e.found.mount,
			"enlarge the share by at least "+human.Bytes(need.bytes+left-r.bytesFree)+", or lower cidx_free_percent"))
	}
	if left := reserve(r.filesTotal); r.filesTotal > 0 && need.files+left > r.filesFree {
		problems.Add(wrong(fmt.Sprintf("not enough inodes: %d to make and %d (%g %%) to stay free, but only %d are free",
			need.files, left, e.FreePercent, r.filesFree), e.found.mount,
			"raise the number of inodes (files) of the share's volume, or lower cidx_free_percent"))
	}
	return problems
}

// snapshots checks that the state folder's disk takes the copies of the databases:
// those of the load before the stop, and those after it.
func (e *examiner) snapshots() (problem.List, int64, error) {
	total := int64(0)
	for _, d := range cidx.DatabaseFiles() {
		path := filepath.Join(e.Home, d.Path)
		for _, p := range append(cidx.SideFiles(path), path) {
			if info, err := os.Stat(p); err == nil {
				total += info.Size()
			}
		}
	}
	dir := string(e.State())
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	r, err := roomOf(dir)
	if err != nil {
		return nil, total, wrong(err.Error(), dir, "set cidx_state_dir to a folder on a disk of this node")
	}
	const slack = 64 << 20 // journal, records, reports
	if _, err := os.Stat(e.State().Backup()); err == nil {
		return nil, total, nil // taken already
	}
	need := 2*total + slack
	if _, err := os.Stat(e.State().Warm()); err == nil {
		need -= total // the first of them are there, and make room for others
	}
	var problems problem.List
	if need > r.bytesFree {
		problems.Add(wrong(fmt.Sprintf("not enough space for the copies of the databases: %s needed, %s free",
			human.Bytes(need), human.Bytes(r.bytesFree)), dir, "free space there, or name another disk in cidx_state_dir"))
	}
	// Each alias file is kept; so are configuration, databases, records and reports.
	aliases, _ := os.ReadDir(filepath.Join(e.Home, "data", "golden-repos", "aliases")) // none where the layout is another one
	if needed := int64(len(aliases)) + 200; r.filesTotal > 0 && needed > r.filesFree {
		problems.Add(wrong(fmt.Sprintf("not enough inodes for what is kept for a rollback: %d needed, %d free", needed, r.filesFree),
			dir, "remove files there, or name another disk in cidx_state_dir"))
	}
	return problems, total, nil
}

// room is what statfs says.
type room struct {
	bytesTotal, bytesFree int64
	filesTotal, filesFree int64 // 0: not counted
}

func roomOf(path string) (room, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return room{}, fmt.Errorf("statfs %s: %w", path, err)
	}
	return room{
		bytesTotal: int64(s.Blocks) * s.Bsize, bytesFree: int64(s.Bavail) * s.Bsize,
		filesTotal: int64(s.Files), filesFree: int64(s.Ffree),
	}, nil
}
