package precheck

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"cidx-cluster/modules/internal/cidxapi"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/pgcheck"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/process"
	"cidx-cluster/modules/internal/reach"
	"cidx-cluster/modules/internal/service"
	"cidx-cluster/modules/internal/share"
)

// postgres checks that the database can take the data.
func (e *examiner) postgres(ctx context.Context) outcome {
	dsn := e.DSN
	if dsn == "" {
		dsn = e.found.cluster.DSN
	}
	if dsn == "" {
		return outcome{blocked: "config.json has no postgres_dsn"}
	}
	facts, warnings, err := pgcheck.Check(ctx, dsn, e.SchemaCommand != "")
	e.reply.Data["postgres"], e.found.nodes = facts, facts.Nodes
	e.warnings = append(e.warnings, warnings...)
	problems := problem.Of(err)
	problems.Add(e.others(facts))
	return outcome{detail: facts.Address, more: facts.Address + ", PostgreSQL " + facts.Version, problems: problems}
}

// service checks that the server can be stopped and started by us.
func (e *examiner) service(ctx context.Context) outcome {
	var problems problem.List
	state, err := e.control.Status(ctx)
	problems.Add(err)
	e.found.running = err == nil && state.Running
	base, err := e.control.Address(ctx)
	problems.Add(err)
	e.reply.Data["url"], e.reply.Data["running"] = base, e.found.running
	where := "service commands"
	if e.Manager == service.BySystemd {
		where = e.Server()
		problems = append(problems, e.units(ctx)...)
	}
	for _, path := range service.CronJobs() {
		problems = append(problems, problem.Problem{What: "a cron job may restart the server during the migration", At: path, Fix: "comment it out until the migration is finished"})
	}
	if p, alive, err := process.PIDFile(e.Home); err == nil && alive && state.Stopped {
		problems = append(problems, problem.Problem{What: "a server runs, but not under " + where + ": " + p.String(), At: p.Path, Fix: "stop it the way it was started (cidx server stop), and start it under " + where})
	}
	if len(problems) == 0 && !e.found.running && !state.Stopped {
		problems = append(problems, problem.Problem{What: "the server is " + state.Word, At: where, Fix: "wait until it runs, or see its log"})
	}
	word := "stopped"
	if e.found.running {
		word = "running"
	}
	e.foreign(ctx)
	detail := where + ": " + word
	if who := listener(base); who != "" && e.found.running {
		detail += " at " + base
	}
	return outcome{detail: detail, problems: problems}
}

// listener names who listens at the server's port; "" if nobody does.
func listener(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return ""
	}
	if p, ok := process.Listener(port); ok {
		return p.String()
	}
	return ""
}

// units checks what only systemd can tell.
func (e *examiner) units(ctx context.Context) problem.List {
	if !e.control.Scope.Allowed {
		return problem.List{{What: "only root may stop and hold units", At: e.Server(), Fix: e.control.Scope.Remedy()}}
	}
	units, err := e.control.Systemd().Discover(ctx, e.Server(), e.Quiesce)
	if err != nil {
		return nil // Status has told why systemd does not answer
	}
	var problems problem.List
	for _, u := range units.Others() {
		if u.Load != "loaded" && u.Load != "masked" {
			problems = append(problems, problem.Problem{What: "the unit is " + u.Load, At: u.ID, Fix: "correct cidx_service_quiesce_units, or the unit"})
		}
	}
	if dir, ok := e.dataDir(units.Server); ok && !same(dir, e.Home) {
		problems = append(problems, problem.Problem{What: "the unit runs a server with another data directory: " + dir, At: e.Server(), Fix: "set cidx_home to it, or cidx_service_unit to the unit of " + e.Home})
	}
	if units.Server.Stale {
		e.warnings = append(e.warnings, e.Server()+": its files have changed since systemd read them; "+
			"the migration's daemon-reload makes that take effect: see it with systemctl cat, and try it with a restart before")
	}
	return append(problems, e.program(ctx, units.Server)...)
}

// program checks that what the unit starts is still there: a server whose program
// was removed or replaced answers until it is stopped, and then never again.
func (e *examiner) program(ctx context.Context, u service.Unit) problem.List {
	var paths []string
	for _, line := range u.Exec {
		if path, _, _ := strings.Cut(line, " "); filepath.IsAbs(path) && !u.Rooted {
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	answers, err := reach.Resolve(ctx, reach.Identity{UID: os.Geteuid()}, share.Deadline, paths)
	problems := problem.Of(err)
	for _, a := range answers {
		if a.Missing {
			problems = append(problems, problem.Problem{
				What: "the unit's program is not there: a stopped server would not start again, not even after a rollback",
				At:   a.Path, Fix: "restore it, or correct ExecStart of " + u.ID,
			})
		}
	}
	return problems
}

// dataDir is the data directory of the unit's server: CIDX_SERVER_DATA_DIR of
// the running process, else of the unit, else ~/.cidx-server of its user.
func (e *examiner) dataDir(u service.Unit) (string, bool) {
	const variable = "CIDX_SERVER_DATA_DIR="
	if u.PID > 0 {
		if raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", u.PID)); err == nil {
			for entry := range strings.SplitSeq(string(raw), "\x00") {
				if dir, ok := strings.CutPrefix(entry, variable); ok {
					return dir, true
				}
			}
		}
	}
	for entry := range strings.FieldsSeq(u.Env) {
		if dir, ok := strings.CutPrefix(strings.Trim(entry, `"`), variable); ok {
			return dir, true
		}
	}
	if u.User == "" {
		return "", false // root, or a variable from a file that we do not read
	}
	user, err := reach.Lookup(u.User)
	if err != nil || user.Home == "" {
		return "", false
	}
	return filepath.Join(user.Home, ".cidx-server"), true
}

func same(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// api checks that the verification after the start will be able to log in.
func (e *examiner) api(ctx context.Context) outcome {
	base, err := e.control.Address(ctx)
	if err != nil {
		return outcome{blocked: "the server's address is not known"}
	}
	client, err := cidxapi.New(ctx, cidxapi.Options{Base: base, User: e.APIUser, Password: e.APIPassword, TOTP: e.TOTP, Key: e.APIKey})
	if err != nil {
		return outcome{problems: problem.Of(err)}
	}
	if !client.Credentials() {
		return outcome{problems: problem.List{{What: "no credentials for the API, so the migration could not be verified", At: base, Fix: "set cidx_api_key, or cidx_api_user and cidx_api_password, of an administrator"}}}
	}
	if state, err := e.control.Status(ctx); err == nil && state.Stopped {
		return outcome{detail: "server is stopped; credentials not tried", problems: e.twin(ctx)}
	}
	live, err := client.Healthz(ctx)
	if err != nil {
		return outcome{problems: problem.Of(err)}
	}
	if live.Status != cidxapi.Healthy && live.Status != cidxapi.Answers {
		e.warnings = append(e.warnings, fmt.Sprintf("%s calls itself %s", base, live.Status))
	}
	// Only an administrator sees this list, and the verification needs it.
	repos, err := client.GoldenRepos(ctx)
	if err != nil {
		return outcome{problems: append(problem.Of(err), e.clusterAlready(client)...)}
	}
	var problems problem.List
	if clustered := e.early(ctx, client); !clustered {
		problems = e.twin(ctx)
	}
	e.jobs(ctx, client)
	return outcome{detail: base + ", " + human.Count(len(repos), "repository", "repositories"), problems: problems}
}

// clusterAlready explains why a server refuses the credentials of its own users:
// see early.
func (e *examiner) clusterAlready(client *cidxapi.Client) problem.List {
	if len(e.found.nodes) == 0 || !e.found.notMigrated() {
		return nil
	}
	return problem.List{{
		What: fmt.Sprintf("a server runs in cluster mode already (node %s), though the data was not migrated: restarted after cluster-join.sh, it works on a PostgreSQL without your users", strings.Join(e.found.nodes, ", ")),
		At:   client.Base(),
		Fix:  "stop it, then run again: a stopped server is migrated as well, and what was written to PostgreSQL meanwhile is listed first",
	}}
}

// early warns of a server that was restarted after cluster-join.sh and before
// the migration: it runs on an empty PostgreSQL, and what users do meanwhile is
// not in SQLite. clustered is false where the server says that it is standalone.
func (e *examiner) early(ctx context.Context, client *cidxapi.Client) (clustered bool) {
	node, err := client.CheckHealth(ctx)
	if err == nil {
		e.reply.Data["server_version"] = node.Version
	}
	if err == nil && node.NodeID != "" && e.found.notMigrated() {
		e.warnings = append(e.warnings, fmt.Sprintf("%s runs in cluster mode already (node %s), though its data was not migrated: it was restarted after cluster-join.sh; what users changed since is in PostgreSQL only", client.Base(), node.NodeID))
	}
	return err != nil || node.NodeID != ""
}

// stopped proves that nothing of the server lives.
func (e *examiner) stopped(ctx context.Context) outcome {
	detail, unseen, problems := e.control.Prove(ctx)
	if unseen != "" {
		detail += "; " + unseen
	}
	if e.Manager == service.BySystemd {
		units, err := e.control.Systemd().Discover(ctx, e.Server(), e.Quiesce)
		problems.Add(err)
		for _, u := range units.Others() {
			if !u.Stopped() {
				problems = append(problems, problem.Problem{What: u.ID + " is " + u.Active + " and could start the server", At: u.ID, Fix: "run cluster-migrate.yml, which lets it rest"})
			}
		}
	}
	return outcome{more: detail, problems: problems}
}
