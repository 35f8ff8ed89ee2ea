package report

import (
	"fmt"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
)

// finality says whether, and why, the standalone server cannot come back.
func (d *document) finality(a args) {
	standing, err := a.Standing()
	if err != nil { // the steps say so
		return
	}
	if standing.Accepted != nil || !d.further() && (d.Outcome == already || d.Outcome == verified) {
		d.Rollback.Final = standing.Final(a.Home)
	}
	if s := standing.Accepted; s != nil {
		d.Acceptance = &acceptance{Time: s.Time, By: s.By, Removed: append([]home.Remnant{}, s.Removed...)}
		for _, r := range s.Removed {
			d.Acceptance.Files, d.Acceptance.Bytes = d.Acceptance.Files+r.Files, d.Acceptance.Bytes+r.Bytes
		}
	}
}

// acceptedLines end the transcript of an acceptance.
func (d *document) acceptedLines() []string {
	lines := []string{"", "Migration accepted: this server stays a cluster node."}
	if d.Acceptance == nil {
		return append(lines, d.counts()...)
	}
	files := human.Count(d.Acceptance.Files, "file", "files")
	lines = append(lines, fmt.Sprintf("Removed: %s; %s came free.", files, human.Bytes(d.Acceptance.Bytes)),
		"There is no rollback any more: "+d.Rollback.Final+".")
	return append(lines, d.counts()...)
}
