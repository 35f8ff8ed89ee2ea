// Package files is cidx_files: it brings the repositories of a standalone CIDX
// server to the shared storage, with rsync, so that almost everything is copied
// and compared while the server still answers.
package files

import (
	"context"
	"runtime/debug"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/mirror"
)

// Names of phases and of ways to compare.
const (
	phaseWarm  = "warm"
	phaseDelta = "delta"

	compareNone    = "none"
	compareChanged = "changed"
	compareAll     = "all"
)

// args are described in plugins/modules/cidx_files.yml.
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
	return ansible.New(ansible.Spec{Name: "cidx_files"}, run)
}

func run(ctx context.Context, a args, mode ansible.Mode) (ansible.Reply, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(50)) // memory is dearer to a server than our time
	return start(ctx, a, mode, settings{})
}

// settings are what only tests change.
type settings struct {
	mirror.Options
	plainFolder bool // the share need not be a mount point
}
