package document

import (
	"cmp"
	"slices"
	"strings"
)

// Offer adds the ways on, of texts that are masked already.
func (d *Report) Offer() {
	add := func(what, command string) { d.Next = append(d.Next, Way{what, command}) }
	resume := cmp.Or(d.Run.Command, d.Resume)
	switch d.Outcome {
	case Rehearsed, Refused:
		if d.Outcome == Rehearsed && len(d.Problems) == 0 {
			add(map[string]string{OfMigration: "Migrate", OfAddition: "Add the node", OfRemoval: "Take the node out"}[d.Subject], d.Resume)
			return
		}
		add("Correct what the problems name, then run it again", resume)
		if d.Outcome == Refused && d.Subject == OfMigration && d.Downtime.Stopped != nil && d.Downtime.Started == nil {
			d.waysBack()
		}
	case Failed:
		if d.Subject != OfMigration {
			add("When the cause is gone, run it again: it goes on where it stopped", resume)
			if d.Subject == OfAddition {
				d.waysBack()
			}
			return
		}
		add("When the cause is gone, go on", d.Resume)
		if d.Downtime.Stopped != nil {
			d.waysBack()
		}
	case RolledBack:
		if d.Check {
			add("Roll back", d.Rollback.Playbook)
			return
		}
		add("Migrate again", d.Resume)
	case Accepted:
		if d.Check {
			add("Accept", resume)
		}
	case Absent: // whether it serves alone, or is added again, is the operator's to say
	default:
		if d.Check && d.Outcome == Migrated {
			add("Migrate", d.Resume)
			return
		}
		d.waysBack()
	}
}

// waysBack are those to the standalone server, if there are any.
func (d *Report) waysBack() {
	if back := d.Rollback.Playbook; d.Further() && back != "" {
		d.Next = append(d.Next, Way{"Take the node out", back})
	} else if back != "" {
		d.Next = append(d.Next, Way{"Roll back", back})
	}
	if len(d.Rollback.ByHand) > 0 {
		d.Next = append(d.Next, Way{"Or roll back by hand, on the server, without the proof that everything is back", d.Rollback.Joined()})
	}
}

// Joined are the commands by hand as one: where one does not succeed, the next is
// not run, so that nothing starts a server whose configuration is the cluster's.
func (c Commands) Joined() string {
	list := slices.Clone(c.ByHand)
	for i, command := range list {
		if strings.Contains(command, "\n") {
			list[i] = "{ " + command + "\n}"
		}
	}
	return strings.Join(list, " &&\n")
}
