package document

import (
	"cmp"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/codes"
)

// Good reports whether the outcome needs no further action.
func (d *Report) Good() bool {
	return d.Outcome != Failed && d.Outcome != Refused && len(d.Problems) == 0
}

// Headline is the outcome in words. It never claims what a rehearsal has not done.
func (d *Report) Headline() string {
	switch d.Outcome {
	case Refused:
		return map[string]string{
			OfMigration:    "Not migrated: this run has changed nothing of the server",
			OfRollback:     "Not rolled back: nothing was changed",
			OfVerification: "The verification has found problems",
			OfAcceptance:   "Not accepted: nothing was removed",
			OfAddition:     "Not added: this run has changed nothing of the server",
			OfRemoval:      "Not taken out: nothing was changed",
		}[d.Subject]
	case Failed:
		return fmt.Sprintf("The %s failed", d.Subject)
	case Already:
		return "Migrated before: nothing was changed"
	case Verified:
		if d.Further() {
			return "Added: this server is a node of the cluster, and verified"
		}
		return "Verified"
	case Rehearsed:
		if len(d.Problems) > 0 {
			return fmt.Sprintf("Rehearsed: the %s would fail", d.Subject)
		}
		return fmt.Sprintf("Rehearsed: the %s can go ahead", d.Subject)
	}
	if d.Check {
		return fmt.Sprintf("Rehearsal of the %s: nothing was changed", d.Subject)
	}
	return map[string]string{
		Migrated:   "Migrated: this server is the first node of the cluster",
		Accepted:   "Accepted: this server stays a cluster node",
		RolledBack: "Rolled back: the standalone server runs again",
		Absent:     "Taken out: this server is no node of the cluster any more",
	}[d.Outcome]
}

// Further reports whether this is about a further node, which has other ways on than the first.
func (d *Report) Further() bool { return d.Subject == OfAddition || d.Subject == OfRemoval }

// Title is a step in words that are true whether or not it was done.
func (d *Report) Title(step string) string {
	return cmp.Or(titles[d.Subject][step], titles[OfMigration][step])
}

var titles = map[string]map[string]string{
	OfMigration: {
		"precheck": "prechecks", "service": "stop and start of the server", "backup": "backup of configuration, databases and alias files",
		"database": "databases to PostgreSQL", "files": "repositories to the share", "aliases": "alias files to the share",
		"config": "cut-over to cluster mode", "verify": "verification", "accept": "removal of what only a rollback needs",
	},
	OfRollback: {
		"database": "list of what the cluster has written", "config": "configuration and folders of the standalone server",
		"backup": "what a start in cluster mode has changed",
	},
	OfVerification: {"database": "comparison of the databases"},
	OfAcceptance:   {"database": "comparison of the databases"},
	OfAddition:     {"config": "links to the share, keys and configuration of the cluster"},
	OfRemoval:      {"config": "folders, databases, keys and configuration of before"},
}

// fact is a line about the run.
type fact struct{ What, Is string }

// Facts are who has run what, with which versions, and from where.
func (d *Report) Facts() []fact {
	by := strings.TrimSuffix(d.Run.User+"@"+d.Run.Controller, "@")
	list := []fact{
		{"command", d.Run.Command}, {"variables given with -e", d.Run.Inline}, {"in the folder", d.Run.Folder}, {"run by", by},
		{"node", strings.TrimSuffix(fmt.Sprintf("%s (%s)", cmp.Or(d.Host, d.Node), d.Node), " ()")},
		{"cidx-cluster", d.Tool.Version + ", helper " + d.Tool.Build}, {"ansible-core", d.Tool.Core},
		{"CIDX", d.Server.Version}, {"PostgreSQL", d.Database.PostgreSQL}, {"state folder", d.State},
	}
	for i := range list {
		list[i].Is = cmp.Or(list[i].Is, "not known")
	}
	if d.Run.Inline == "" {
		list[1].Is = "none"
	}
	return list
}

// OfPlaybook is the step, and the code, of what the playbook itself refuses: how it
// was called, and what the inventory says.
const OfPlaybook = "playbook"

// Code names the kind of every problem and warning.
func (d *Report) Code() {
	for i, p := range d.Problems {
		if d.Problems[i].Code = codes.Of(p.What); d.Problems[i].Code == codes.Other && p.Step == OfPlaybook {
			d.Problems[i].Code = OfPlaybook
		}
	}
	for i, w := range d.Warnings {
		d.Warnings[i].Code = codes.Of(w.Text)
	}
}
