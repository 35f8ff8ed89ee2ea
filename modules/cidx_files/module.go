// Package files is cidx_files: it brings the repositories of a standalone CIDX
// server to the shared storage, with rsync, so that almost everything is copied
// and compared while the server still answers.
package files

import (
	"context"
	"runtime/debug"
	"time"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
)

// Names of phases and of ways to compare.
const (
	phaseWarm  = "warm"
	phaseDelta = "delta"

	compareNone    = "none"
	compareChanged = "changed"
	compareAll     = "all"
)

type args struct {
	home.Common
	Phase         string   `arg:"phase" default:"delta" choices:"warm,delta"`
	Parts         []string `arg:"parts" choices:"golden-repos,versioned,activated-repos"`
	Processes     int      `arg:"processes" default:"0"`
	Compare       string   `arg:"compare" default:"changed" choices:"changed,all,none"`
	SamplePercent float64  `arg:"sample_percent" default:"1"`
	Fsck          bool     `arg:"fsck" default:"true"`
	DeletePercent float64  `arg:"delete_percent" default:"50"`
}

// Module returns cidx_files.
func Module() ansible.Module {
	return ansible.New(ansible.Doc{
		Name:  "cidx_files",
		Short: "Copy the repositories of a CIDX server to the shared storage",
		Description: []string{
			"Copies golden repositories, their snapshots and the activated repositories with several rsync processes.",
			"Run it with I(phase=warm) while the server runs, then with I(phase=delta) after the stop: " +
				"the second pass finds on the local disk what changed, copies only that, follows deletions, and compares.",
			"Lock files, sockets, pipes, devices, caches and the trash are left out and listed. " +
				"Repositories are copied byte for byte: absolute paths that git and symbolic links keep are listed; " +
				"those into the moved folders work through the links that the cut-over puts in their place.",
			"Killed anywhere, the next run continues.",
		},
		Arguments: map[string]string{
			"phase": "C(warm) copies while the server runs: what changes or vanishes meanwhile is no error. " +
				"C(delta) runs after the stop and makes both sides equal.",
			"parts":     "What to copy. Default: everything that the server has.",
			"processes": "rsync processes at once. C(0) chooses: few on a local disk, many where every operation takes its time.",
			"compare": "What is read back and compared byte by byte: " +
				"everything that was copied and not compared yet, everything, or nothing. " +
				"Type, size, mode, owner, times and link targets are compared with C(changed) and C(all).",
			"sample_percent": "Share of the files compared earlier that is read back once more, chosen at random. " +
				"If one of them differs, everything is compared.",
			"fsck":           "Run C(git fsck --connectivity-only) on each copied base clone and compare its refs with the source.",
			"delete_percent": "Stop if more than this share of what was copied earlier has vanished at the source, instead of following.",
		},
		Check: "Counts what would be copied and forecasts bytes, inodes and time; " +
			"writes nothing, neither on the share nor in the server's folder.",
		Returns: returns,
		Example: "- name: Copy what changed since the warm pass\n  cidx.cluster.cidx_files:\n" +
			"    home: /home/cidx/.cidx-server\n    share: /mnt/cidx-shared\n    phase: delta\n",
	}, run)
}

var returns = []ansible.Return{
	{Name: "parts", Type: "dict", Doc: "For each part what it holds and what was done: C(repositories), C(files), C(folders), " +
		"C(bytes), C(copied_files), C(copied_bytes), C(linked), C(deleted), C(paths), C(compared)."},
	{Name: "census", Type: "dict", Doc: "What the parts hold together: bytes, files, folders, symbolic links by kind, " +
		"hard links, sparse and special files, SQLite files, names that the share may refuse."},
	{Name: "forecast", Type: "dict", Doc: "C(bytes), C(inodes), C(warm_seconds), C(delta_seconds); " +
		"after a warm pass C(downtime_seconds)."},
	{Name: "left_out", Type: "list", Doc: "What is not copied, with the reason: C(path), C(why)."},
	{Name: "foreign", Type: "list", Doc: "Entries on the share, inside the copied folders, that this tool has not put there: " +
		"in check mode those that will be moved aside, otherwise those that could not be (they lie on another file system)."},
	{Name: "paths", Type: "list", Doc: "Absolute paths into the moved folders that git and symbolic links keep; " +
		"the links in their place serve them: C(path), C(why)."},
	{Name: "repaired", Type: "list", Doc: "Copies that differed although their source had not changed, and were copied again."},
	{Name: "aside", Type: "list", Doc: "Entries on the share, inside the copied folders, that were not of this server's copy " +
		"(an earlier copy made by hand, what a cluster wrote before it was rolled back); " +
		"they were moved to C(.cidx-aside) at the top of the share."},
	{Name: "sqlite", Type: "list", Doc: "SQLite files among what is copied; " +
		"they are slow, and at risk with several writers, on a network file system."},
	{Name: "git", Type: "list", Doc: "Base clones checked: C(repository), C(ok), C(detail)."},
	{Name: "lists", Type: "dict", Doc: "For each part how long these lists are, and C(file), which has all of them: " +
		"in the state folder's C(report/), after a rehearsal in the helper's folder. " +
		"A list in the reply ends after 200 entries with a remark. " +
		"What an earlier run has found is told by every later one, as long as it is there."},
	{Name: "share", Type: "dict", Doc: "What the share is: type, free bytes and inodes, peculiarities."},
}

func run(ctx context.Context, a args, mode ansible.Mode) (ansible.Reply, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(50)) // memory is dearer to a server than our time
	return start(ctx, a, mode, settings{})
}

// settings are what only tests change.
type settings struct {
	plainFolder bool          // the share need not be a mount point
	window      int64         // bytes of the plan that are worked at together
	rest        time.Duration // how long a folder must have been left alone to be believed; 0: as long as it takes
}
