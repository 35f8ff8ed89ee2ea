package report

import "cidx-cluster/modules/internal/document"

// finality says whether, and why, the standalone server cannot come back.
func (d *gathering) finality(a args) {
	standing, err := a.Standing()
	if err != nil { // the steps say so
		return
	}
	if standing.Accepted != nil || !d.Further() && (d.Outcome == document.Already || d.Outcome == document.Verified) {
		d.Rollback.Final = standing.Final(a.Home)
	}
	if s := standing.Accepted; s != nil {
		d.Acceptance = &document.Acceptance{Time: s.Time, By: s.By, Removed: []document.Remnant{}}
		for _, r := range s.Removed {
			d.Acceptance.Removed = append(d.Acceptance.Removed, document.Remnant(r))
			d.Acceptance.Files, d.Acceptance.Bytes = d.Acceptance.Files+r.Files, d.Acceptance.Bytes+r.Bytes
		}
	}
}
