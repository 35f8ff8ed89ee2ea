package report

import (
	"cmp"
	"fmt"
	"strings"
)

// Good reports whether the outcome needs no further action.
func (d *document) Good() bool {
	return d.Outcome != failed && d.Outcome != refused && len(d.Problems) == 0
}

// Headline is the outcome in words. It never claims what a rehearsal has not done.
func (d *document) Headline() string {
	switch d.Outcome {
	case refused:
		return map[string]string{
			ofMigration:    "Not migrated: this run has changed nothing of the server",
			ofRollback:     "Not rolled back: nothing was changed",
			ofVerification: "The verification has found problems",
			ofAcceptance:   "Not accepted: nothing was removed",
			ofAddition:     "Not added: this run has changed nothing of the server",
			ofRemoval:      "Not taken out: nothing was changed",
		}[d.Subject]
	case failed:
		return fmt.Sprintf("The %s failed", d.Subject)
	case already:
		return "Migrated before: nothing was changed"
	case verified:
		if d.further() {
			return "Added: this server is a node of the cluster, and verified"
		}
		return "Verified"
	case rehearsed:
		if len(d.Problems) > 0 {
			return fmt.Sprintf("Rehearsed: the %s would fail", d.Subject)
		}
		return fmt.Sprintf("Rehearsed: the %s can go ahead", d.Subject)
	}
	if d.Check {
		return fmt.Sprintf("Rehearsal of the %s: nothing was changed", d.Subject)
	}
	return map[string]string{
		migrated:   "Migrated: this server is the first node of the cluster",
		accepted:   "Accepted: this server stays a cluster node",
		rolledBack: "Rolled back: the standalone server runs again",
		absent:     "Taken out: this server is no node of the cluster any more",
	}[d.Outcome]
}

// further reports whether this is about a further node, which has other ways on than the first.
func (d *document) further() bool { return d.Subject == ofAddition || d.Subject == ofRemoval }

// Title is a step in words that are true whether or not it was done.
func (d *document) Title(step string) string {
	words := titles[d.Subject][step]
	if words == "" {
		words = titles[ofMigration][step]
	}
	return words
}

var titles = map[string]map[string]string{
	ofMigration: {
		"precheck": "prechecks", "service": "stop and start of the server", "backup": "backup of configuration, databases and alias files",
		"database": "databases to PostgreSQL", "files": "repositories to the share", "aliases": "alias files to the share",
		"config": "cut-over to cluster mode", "verify": "verification", "accept": "removal of what only a rollback needs",
	},
	ofRollback: {
		"database": "list of what the cluster has written", "config": "configuration and folders of the standalone server",
		"backup": "what a start in cluster mode has changed",
	},
	ofVerification: {"database": "comparison of the databases"},
	ofAcceptance:   {"database": "comparison of the databases"},
	ofAddition:     {"config": "links to the share, keys and configuration of the cluster"},
	ofRemoval:      {"config": "folders, databases, keys and configuration of before"},
}

// fact is a line about the run.
type fact struct{ What, Is string }

// Facts are who has run what, with which versions, and from where.
func (d *document) Facts() []fact {
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
