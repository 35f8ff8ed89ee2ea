package report

import "cmp"

// next are the ways on, of texts that are masked already.
func (d *document) next() {
	add := func(what, command string) { d.Next = append(d.Next, way{what, command}) }
	resume := cmp.Or(d.Run.Command, d.Resume)
	switch d.Outcome {
	case rehearsed:
		if len(d.Problems) == 0 {
			add(map[string]string{ofMigration: "Migrate", ofAddition: "Add the node", ofRemoval: "Take the node out"}[d.Subject], d.Resume)
			return
		}
		add("Correct what the problems name, then run it again", resume)
	case refused:
		add("Correct what the problems name, then run it again", resume)
		if d.Subject == ofMigration && d.Downtime.Stopped != nil && d.Downtime.Started == nil {
			d.waysBack()
		}
	case failed:
		if d.Subject != ofMigration {
			add("When the cause is gone, run it again: it goes on where it stopped", resume)
			if d.Subject == ofAddition {
				d.waysBack()
			}
			return
		}
		add("When the cause is gone, go on", d.Resume)
		if d.Downtime.Stopped != nil {
			d.waysBack()
		}
	case rolledBack:
		if d.Check {
			add("Roll back", d.Rollback.Playbook)
			return
		}
		add("Migrate again", d.Resume)
	case accepted:
		if d.Check {
			add("Accept", resume)
		}
	case absent: // whether it serves alone, or is added again, is the operator's to say
	default:
		if d.Check && d.Outcome == migrated {
			add("Migrate", d.Resume)
			return
		}
		d.waysBack()
	}
}

// waysBack are those to the standalone server, if there are any.
func (d *document) waysBack() {
	if d.Rollback.Playbook != "" {
		what := "Roll back"
		if d.further() {
			what = "Take the node out"
		}
		d.Next = append(d.Next, way{what, d.Rollback.Playbook})
	}
	if len(d.Rollback.ByHand) > 0 {
		d.Next = append(d.Next, way{"Or roll back by hand, on the server, without the proof that everything is back", d.Rollback.Joined()})
	}
}
