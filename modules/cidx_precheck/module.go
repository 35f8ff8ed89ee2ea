// Package precheck is the module cidx_precheck: it finds every reason for which
// a migration would fail, before anything is changed.
//
// All checks run, also when one fails, and one reply lists everything. Nothing
// is written, except that a real run tries the share with files of its own,
// which it removes.
package precheck

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/job"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/secret"
	"cidx-cluster/modules/internal/service"
)

// args are described in plugins/modules/cidx_precheck.yml.
type args struct {
	home.Common
	service.Args
	Checks        []string `arg:"checks" choices:"config,share,postgres,space,service,api"`
	DSN           string   `arg:"postgres_dsn" secret:"true"`
	APIUser       string   `arg:"api_user"`
	APIPassword   string   `arg:"api_password" secret:"true"`
	APIKey        string   `arg:"api_key" secret:"true"`
	TOTP          string   `arg:"api_totp_secret" secret:"true"`
	FreePercent   float64  `arg:"free_percent" default:"10"`
	SchemaCommand string   `arg:"schema_command"`
}

// Module returns cidx_precheck.
func Module() ansible.Module {
	spec := ansible.Spec{Name: "cidx_precheck", Lists: true, Lease: job.Peek}
	return ansible.New(spec, func(ctx context.Context, a args, mode ansible.Mode) (ansible.Reply, error) {
		secret.KeepDSN(ctx, a.DSN)
		return (&examiner{args: a, check: mode.Check, control: service.New(a.Args, a.Common).In(ctx, mode.ByRoot)}).run(ctx)
	})
}

// examiner is one call.
type examiner struct {
	args
	check   bool
	control service.Control
	plain   bool // tests: the share is a plain folder

	patience time.Duration // tests: of probes; 0: share.Deadline

	found    findings
	reply    ansible.Reply
	warnings []string
}

// dsn is how to reach PostgreSQL, "" where nobody says.
func (e *examiner) dsn() string { return cmp.Or(e.DSN, e.found.cluster.DSN) }

// outcome of one check.
type outcome struct {
	detail   string // in the transcript's line
	more     string // only in the reply
	problems problem.List
	blocked  string // why it could not be checked; the cause is another check's problem
}

// check is one of them, by name and by its name in the transcript.
type check struct {
	name, label string
	do          func(context.Context) outcome
}

// checks are all of them, in order.
func (e *examiner) checks() []check {
	s := &server{examiner: e}
	return []check{
		{"config", "Cluster config", e.config},
		{"share", "NFS mount", e.share},
		{"postgres", "PostgreSQL", s.postgres},
		{"space", "Disk space", e.space},
		{"service", "Service", s.service},
		{"api", "API", s.api},
	}
}

func (e *examiner) run(ctx context.Context) (ansible.Reply, error) {
	if err := e.Validate().Err(); err != nil {
		return ansible.Reply{}, err
	}
	e.reply.Data = map[string]any{}
	e.look(ctx)
	var problems problem.List
	failed := 0
	for _, c := range e.checks() {
		if !e.wants(c.name) {
			continue
		}
		progress.Report(ctx, progress.Status{What: "checking " + c.label})
		o := c.do(ctx)
		if err := ctx.Err(); err != nil {
			return e.reply, fmt.Errorf("check %s: %w", c.label, err)
		}
		if !e.tell(ctx, c.label, o) {
			failed++
		}
		problems = append(problems, o.problems...)
	}
	e.reply.Warnings = e.warnings
	e.reply.Msg = "all checks passed"
	if since := e.found.standing.StoppedSince(); since != nil {
		e.reply.Data["stopped_since"] = since.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	e.reply.Data["migrated"], e.reply.Data["resuming"] = e.found.migrated, e.found.standing.Unfinished()
	if failed > 0 {
		e.reply.Msg = fmt.Sprintf("%d of %d checks failed; nothing was changed", failed, len(e.reply.Checks))
		return e.reply, problems.Err()
	}
	if e.found.standing.Unfinished() && e.wants("config") {
		progress.Line(ctx, "  Earlier run: unfinished (%s); this one goes on", e.found.lastEvent())
	}
	return e.reply, nil
}

func wrong(what, at, fix string) problem.Problem {
	return problem.Problem{What: what, At: at, Fix: fix}
}

func (e *examiner) warn(format string, a ...any) {
	e.warnings = append(e.warnings, fmt.Sprintf(format, a...))
}

func (e *examiner) wants(name string) bool {
	return slices.Contains(e.Checks, name) || len(e.Checks) == 0
}

// tell prints a check's line and adds it to the reply.
func (e *examiner) tell(ctx context.Context, label string, o outcome) bool {
	ok := len(o.problems) == 0 && o.blocked == ""
	word, detail := "OK", o.detail
	switch {
	case o.blocked != "":
		word, detail = "FAILED", "not checked: "+o.blocked
	case !ok:
		word, detail = "FAILED", o.problems[0].What
		if n := len(o.problems) - 1; n > 0 {
			detail += fmt.Sprintf("; and %d more", n)
		}
	}
	line := "  " + label + ": " + word
	if detail != "" {
		line += " (" + detail + ")"
	}
	progress.Line(ctx, "%s", line)
	if o.more != "" && ok {
		detail = o.more
	}
	e.reply.Checks = append(e.reply.Checks, ansible.Check{Name: label, OK: ok, Detail: detail})
	return ok
}
