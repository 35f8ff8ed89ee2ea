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
	"cidx-cluster/modules/internal/job"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
)

// args are described in plugins/modules/cidx_report.yml.
type args struct {
	home.Common

	Outcome string `arg:"outcome" required:"true" choices:"rehearsed,migrated,already,refused,failed,rolled-back,verified,accepted,absent"`

	Subject string         `arg:"subject" choices:"migration,rollback,verification,acceptance,addition,removal"`
	Replies map[string]any `arg:"replies"`
	Server  map[string]any `arg:"server"`
	Host    string         `arg:"host"`
	Manager string         `arg:"service_manager" choices:"systemd,command" default:"systemd"`
	Unit    string         `arg:"service_unit" default:"cidx-server"`
	Start   string         `arg:"service_start_command"`
	Stop    string         `arg:"service_stop_command"`
	Resume  string         `arg:"migrate_command"`
	Read    string         `arg:"read"`
	Offset  int            `arg:"offset" default:"0"`
	Back    string         `arg:"rollback_command"`
	Cause   string         `arg:"cause"`
	Command string         `arg:"command"`
	Run     map[string]any `arg:"run"`
	Inline  string         `arg:"inline"`
}

// Module is cidx_report.
func Module() ansible.Module {
	return ansible.New(ansible.Spec{Name: "cidx_report", Lease: job.Release}, run)
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
	doc := gather(ctx, a, mode)
	doc.Mask(ctx)
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
		reply, _ := a.Replies[accepting].(map[string]any)
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
