package report

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/document"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/problem"
)

// stepsInOrder are the steps of a migration, an acceptance and a verification.
var stepsInOrder = []string{"precheck", "service", "backup", "database", "files", "aliases", "config", "verify", "accept"}

// gathering is a report that is being put together.
type gathering struct{ *document.Report }

// gather reads everything. What the state folder does not have is left empty;
// what it has but cannot be read is a warning: a report must not fail because of
// the fault that it is to tell of.
func gather(ctx context.Context, a args, mode ansible.Mode) *document.Report {
	raw, _ := json.Marshal(a.Replies) // which came as JSON
	node, _ := os.Hostname()          // "" says as much as an error would
	d := &gathering{document.New(time.Now())}
	d.Tool = document.Tool{Version: ansible.Version, Build: ansible.Build, Core: a.ran("ansible_core")}
	d.Run = document.Origin{
		User: a.ran("user"), Controller: a.ran("controller"), Folder: a.ran("folder"), Command: a.Command, Inline: a.Inline,
	}
	d.Subject, d.Outcome, d.Check = a.subject(), a.Outcome, a.rehearsal(mode)
	d.Host, d.Node, d.Home, d.State = a.Host, node, a.Home, string(a.State())
	d.Share = d.mountPoint(ctx, a)
	all := sorted(gjson.ParseBytes(raw))
	replies := counting(slices.Clone(all))
	d.steps(replies)
	for _, r := range replies {
		d.remarks(r)
	}
	d.fromJournal(a, replies)
	d.fromDatabase(a.State(), replies)
	d.fromFiles(replies)
	d.fromAliases(replies)
	d.fromVerify(replies)
	d.versions(replies)
	d.forecasts(all)
	d.cause(a)
	d.artifacts(a.State())
	d.serverNow(a)
	d.finality(a)
	d.Code() // when nothing more is found
	d.ways(a, a.scope(ctx, mode.ByRoot))
	return d.Report
}

// mountPoint names the share, and registers the configuration's secrets.
func (d *gathering) mountPoint(ctx context.Context, a args) string {
	config, err := a.Config(ctx)
	if err != nil && !d.Further() { // which may have none yet
		d.warn("report", err)
	}
	if kept, err := home.ReadConfig(ctx, a.State().ClusterConfig()); err == nil && config.Share == "" {
		config.Share = kept.Share
	}
	return cmp.Or(a.Share, config.Share)
}

func (d *gathering) warn(step string, err error) {
	d.Warnings = append(d.Warnings, document.Remark{Step: step, Text: err.Error()})
}

func (d *gathering) problem(step string, p problem.Problem) {
	d.Problems = append(d.Problems, document.Problem{Step: step, Problem: p})
}

// reply is one step's answer.
type reply struct {
	name string // e.g. "files_warm", "files_delta_rehearsal"
	gjson.Result
}

// step is the step that the reply is of, e.g. "files".
func (r reply) step() string {
	before, _, _ := strings.Cut(r.name, "_")
	return cmp.Or(stepOf[strings.TrimSuffix(r.name, "_rehearsal")], before)
}

// stepOf are the steps of replies whose names do not begin with them.
var stepOf = map[string]string{"verify_remember": "precheck", accepting: "accept", "first_node": "first_node"}

// accepting is the reply of what removes what only a rollback needs.
const accepting = "config_accepted"

// as reads an object whose fields are named as those of the report; of another
// type than there they count as absent.
func as[T any](v gjson.Result) (item T) {
	_ = json.Unmarshal([]byte(v.Raw), &item)
	return item
}

// sorted lists the replies in the order of the steps; empty ones are of steps
// that did not run.
func sorted(all gjson.Result) []reply {
	var list []reply
	for name, v := range all.Map() {
		if v.IsObject() && len(v.Map()) > 0 {
			list = append(list, reply{name, v})
		}
	}
	rank := func(r reply) uint { return uint(slices.Index(stepsInOrder, r.step())) } // others are the last
	slices.SortFunc(list, func(a, b reply) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.name, b.name))
	})
	return list
}

// counting leaves out rehearsals of steps that were also done, and proofs that hold.
func counting(list []reply) []reply {
	done := map[string]bool{}
	for _, r := range list {
		if !r.Get("check_mode").Bool() {
			done[r.step()] = true
		}
	}
	return slices.DeleteFunc(list, func(r reply) bool {
		return done[r.step()] && r.Get("check_mode").Bool() || r.name == "config_proven" && !r.Get("failed").Bool()
	})
}

// of are the replies of one step.
func of(replies []reply, step string) []reply {
	return slices.DeleteFunc(slices.Clone(replies), func(r reply) bool { return r.step() != step })
}

// steps tells how far each step came. Of several replies the worst counts.
func (d *gathering) steps(replies []reply) {
	for _, name := range stepsInOrder {
		s := document.Step{Name: name, State: document.StepMissing}
		for _, r := range of(replies, name) {
			s.Seconds = human.Tenths(s.Seconds + r.Get("seconds").Float())
			if state := stateOf(r); outweighs(state, s.State) {
				s.State, s.Message = state, firstLine(r.Get("msg").String())
			}
		}
		if s.State == document.StepMissing && (d.Outcome != document.Failed || d.Subject != document.OfMigration || name == "accept") {
			continue // it is no part of such a run
		}
		d.Steps = append(d.Steps, s)
	}
}

// outweighs reports whether a step is as its next reply says, rather than as those before.
func outweighs(next, before string) bool {
	switch {
	case next == document.StepFailed, before == document.StepMissing, before == document.StepBegun:
		return true
	}
	return next == document.StepDone && before != document.StepFailed
}

func stateOf(r reply) string {
	switch {
	case r.Get("failed").Bool():
		return document.StepFailed
	case r.Get("check_mode").Bool():
		return document.StepRehearsed
	case r.Get("skipped").Bool():
		return document.StepSkipped
	case r.Get("phase").Str == "warm":
		return document.StepBegun // the copy is complete with the pass after the stop
	case r.Get("changed").Bool():
		return document.StepDone
	}
	return document.StepUnchanged
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSuffix(line, ":")
}

// remarks collects checks, warnings and problems of one reply.
func (d *gathering) remarks(r reply) {
	for _, c := range r.Get("checks").Array() {
		check := as[document.Check](c)
		check.Step = r.step()
		d.Checks = append(d.Checks, check)
	}
	for _, w := range r.Get("all_warnings").Array() {
		d.Warnings = append(d.Warnings, document.Remark{Step: r.step(), Text: w.String()})
	}
	problems := r.Get("problems").Array()
	for _, p := range problems {
		d.problem(r.step(), as[problem.Problem](p))
	}
	if len(problems) == 0 && r.Get("failed").Bool() {
		d.problem(r.step(), problem.Problem{What: r.Get("msg").String()})
	}
}

// cause is why a run ended where none of our modules says so.
func (d *gathering) cause(a args) {
	if len(d.Problems) == 0 && a.Cause != "" && (a.Outcome == document.Failed || a.Outcome == document.Refused) {
		d.problem(document.OfPlaybook, problem.Problem{What: firstLine(a.Cause)})
	}
}

// fromJournal tells the events of this migration and the downtime.
func (d *gathering) fromJournal(a args, replies []reply) {
	entries, err := journal.Read(a.State().Journal())
	if err != nil {
		d.warn("report", err)
		return
	}
	entries = current(entries, d.Outcome)
	for i, e := range entries {
		v := document.Event{Time: e.Time, Module: e.Module, Event: e.Event, Data: e.Data}
		if i > 0 {
			v.After = human.Tenths(e.Time.Sub(entries[i-1].Time).Seconds())
		}
		d.Timeline = append(d.Timeline, v)
		if e.Module == "cidx_files" {
			d.Files.Passes = append(d.Files.Passes, passOf(e))
		}
	}
	d.Downtime = downtimeOf(entries, replies)
}
