// Package report is cidx_report: it gathers what a run has done into report.json
// and a self-contained report.html, and words the end of the transcript.
//
// Sources are the journal and the records in the state folder, and the replies
// of the steps. Nothing is asked of the server, of PostgreSQL or of the share,
// which may be away: a report is made of that failure too.
//
// It writes below report/ in the state folder, and only after a real run that
// has changed something; otherwise the documents are in the reply only. No secret
// gets into them.
package report

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/document"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
)

// args are the arguments of cidx_report.
type args struct {
	home.Common

	Outcome string `arg:"outcome" required:"true" choices:"rehearsed,migrated,already,refused,failed,rolled-back,verified,accepted,absent"`

	Subject string         `arg:"subject" choices:"migration,rollback,verification,acceptance,addition,removal"`
	Replies map[string]any `arg:"replies"`
	Server  map[string]any `arg:"server"`
	Host    string         `arg:"host"`
	Manager string         `arg:"service_manager" choices:"systemd,command" default:"systemd"`
	Unit    string         `arg:"service_unit" default:"cidx-server" doc:"The server's unit, with C(systemd)."`
	Start   string         `arg:"service_start_command" doc:"Command that starts the server, with C(command)."`
	Stop    string         `arg:"service_stop_command" doc:"Command that stops the server, with C(command)."`
	Resume  string         `arg:"migrate_command"`
	Read    string         `arg:"read"`
	Offset  int            `arg:"offset" default:"0" doc:"With I(read): the byte to begin at."`
	Back    string         `arg:"rollback_command"`
	Cause   string         `arg:"cause" doc:"Why the run ended, where no reply says so."`
	Command string         `arg:"command" doc:"The command that was run, without any value that was given with C(-e)."`
	Run     map[string]any `arg:"run"`
	Inline  string         `arg:"inline" doc:"Names of variables that were given on the command line, to be given again with a command."`
}

// Module is cidx_report.
func Module() ansible.Module {
	return ansible.New(ansible.Doc{
		Name:  "cidx_report",
		Short: "Write down what a run has done, for machines and for people",
		Description: []string{
			"Gathers journal, records and replies into C(report.json) and a self-contained C(report.html) " +
				"below C(report) in the state folder. Each report is also kept as C(report-<time>.json).",
			"Words the end of the transcript: how to add nodes, how to roll back, how to resume.",
			"Asks neither the server nor PostgreSQL nor the share, so it also works when they are the reason of a failure.",
		},
		Arguments: map[string]string{
			"outcome": "How the run ended.",
			"subject": "What was run, where the outcome does not say it. Default is C(migration).",
			"replies": "The replies of the steps by their names: C(precheck), C(service), C(backup), C(database), " +
				"C(files), C(aliases), C(config), C(verify). Several replies of one step get names that start with the step's, " +
				"for example C(files_warm).",
			"server": "The reply of C(cidx_service) with C(state=status), asked right before this report of a failure or a refusal. " +
				"Without it the summary says that the server's state is not known.",
			"host": "The node's name in the inventory, for the commands of the summary. " +
				"Where it is given, the summary is printed as well.",
			"service_manager": "How the server is started and stopped, for the commands of a rollback by hand.",
			"migrate_command": "Command that migrates again. Default is C(ansible-playbook cluster-migrate.yml) for C(host).",
			"read": "Only read: the name of a file of C(report) in the state folder. " +
				"The reply is a C(part) of it in base64, at most 512 KiB from I(offset) on.",
			"rollback_command": "Command that rolls back. Default is C(ansible-playbook cluster-rollback.yml) for C(host).",
			"run": "Who ran it: C(user), C(controller), C(folder), C(ansible_core), " +
				"and whether it was a rehearsal (C(check)).",
		},
		Check: "Writes nothing; the documents are in the reply.",
		Returns: []ansible.Return{
			{Name: "report", Type: "dict", Doc: "The document that C(report.json) holds."},
			{Name: "html", Type: "str", Doc: "The document that C(report.html) holds."},
			{Name: "files", Type: "list", Doc: "Files that were written on the node; none where it cannot keep them, which is a warning."},
			{Name: "summary", Type: "list", Doc: "The lines that end the transcript."},
			{Name: "part", Type: "str", Doc: "With I(read): bytes of the file in base64. " +
				"C(next) is where to go on, C(last) whether that is its end."},
			{Name: "truncated", Type: "bool", Doc: "Whether lists were shortened to keep the reply small. " +
				"The documents then say so themselves, in C(warnings); the files on the node are complete."},
		},
		Example: "- name: Write the report\n  cidx.cluster.cidx_report:\n    home: /home/cidx/.cidx-server\n" +
			"    outcome: migrated\n    host: \"{{ inventory_hostname }}\"\n    replies:\n      verify: \"{{ verify_reply }}\"\n",
	}, run)
}

func run(ctx context.Context, a args, mode ansible.Mode) (ansible.Reply, error) {
	// The reply repeats its arguments; those would make it twice as large.
	defer clear(a.Replies)
	if a.Read != "" {
		return a.part()
	}
	if err := a.happened(); err != nil {
		return ansible.Reply{}, err
	}
	doc, err := gather(ctx, a, mode)
	if err != nil {
		return ansible.Reply{Msg: "report cannot be gathered"}, err
	}
	if err := doc.Mask(ctx); err != nil {
		return ansible.Reply{Msg: "report cannot be masked"}, err
	}
	doc.Offer()
	lines := doc.Summary()
	if len(lines) > 0 && a.Inline != "" && a.Outcome != document.Verified && a.Outcome != document.Accepted {
		lines = append(lines, "Give what this run was given with -e again: "+a.Inline)
	}
	r := ansible.Reply{Msg: "report of the outcome: " + a.Outcome, Data: map[string]any{"summary": lines, "files": []string{}}}
	page, err := doc.HTML()
	if err != nil {
		return r, err
	}
	if !mode.Check && !doc.Check && a.writes() {
		a.keep(doc, page, &r)
	}
	short, err := doc.Fit(r.Data, page)
	if err != nil {
		return r, err
	}
	if short != "" && !r.Changed { // no complete one on the node
		r.Warnings = append(r.Warnings, short)
	}
	if a.Host != "" {
		for _, l := range lines {
			progress.Line(ctx, "%s", l)
		}
	}
	return r, nil
}

// keep writes the documents on the node. A node that cannot keep them is a
// warning: the outcome stands, and the controller keeps the reply's.
func (a args) keep(doc *document.Report, page []byte, r *ansible.Reply) {
	files, err := write(doc, a.State(), page)
	if err == nil {
		r.Changed, r.Data["files"] = true, files
		r.Msg = "report written to " + filepath.Dir(files[0])
		err = journal.Append(a.State().Journal(), name, a.Outcome, nil)
	}
	if err != nil {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the report cannot be kept on the node: %v", err))
	}
}

// happened refuses to call a home migrated whose journal, if it can be read, knows
// of no cut-over: with --tags the report may be all that is run.
func (a args) happened() error {
	if a.Outcome != document.Migrated {
		return nil
	}
	standing, err := a.Standing()
	if err != nil || standing.Migrated() {
		return nil
	}
	return problem.Problem{
		What: "no migration to report: the cut-over has not taken place", At: a.Home,
		Fix: "run cluster-migrate.yml without --tags",
	}
}

// name of the module in the journal.
const name = "cidx_report"

// writes reports whether a run with this outcome leaves a report on the node.
// The others have changed nothing, and a report of that must not change
// anything either.
func (a args) writes() bool {
	switch a.Outcome {
	case document.Accepted:
		reply, _ := a.Replies["accept"].(map[string]any)
		return reply["changed"] == true
	case document.Failed:
		return a.subject() != document.OfVerification
	}
	return a.Outcome == document.Migrated || a.Outcome == document.RolledBack
}

// subject is what was run.
func (a args) subject() string {
	of := map[string]string{
		document.RolledBack: document.OfRollback, document.Verified: document.OfVerification,
		document.Accepted: document.OfAcceptance, document.Absent: document.OfRemoval,
	}
	return cmp.Or(a.Subject, of[a.Outcome], document.OfMigration)
}

// ran is a word about the run, "" if it is not known.
func (a args) ran(what string) string {
	word, _ := a.Run[what].(string)
	return word
}

// rehearsal reports whether the run was one. The report of a refusal changes
// nothing either, whatever the run was.
func (a args) rehearsal(mode ansible.Mode) bool {
	if check, told := a.Run["check"].(bool); told {
		return check
	}
	return mode.Check
}
