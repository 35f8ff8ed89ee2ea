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

// server are the checks of what the server is and uses while it runs: each builds on
// what the ones before have learnt.
type server struct {
	*examiner
	running bool
	nodes   []string // of the cluster, that were alive within the last minutes
	beats   bool     // our own node is alive, as PostgreSQL knows it
}

// postgres checks that the database can take the data.
func (s *server) postgres(ctx context.Context) outcome {
	dsn := s.dsn()
	if dsn == "" {
		return outcome{blocked: "config.json has no postgres_dsn"}
	}
	facts, warnings, err := pgcheck.Check(ctx, dsn, s.SchemaCommand != "")
	s.reply.Data["postgres"], s.nodes = facts, facts.Nodes
	s.warnings = append(s.warnings, warnings...)
	problems := problem.Of(err)
	problems.Add(s.others(facts))
	return outcome{detail: facts.Address, more: facts.Address + ", PostgreSQL " + facts.Version, problems: problems}
}

// service checks that the server can be stopped and started by us.
func (s *server) service(ctx context.Context) outcome {
	var problems problem.List
	state, err := s.control.Status(ctx)
	problems.Add(err)
	s.running = err == nil && state.Running
	base, err := s.control.Address(ctx)
	problems.Add(err)
	s.reply.Data["url"], s.reply.Data["running"] = base, s.running
	where := "service commands"
	if s.Manager == service.BySystemd {
		where = s.Server()
		problems = append(problems, s.units(ctx)...)
	}
	for _, path := range service.CronJobs() {
		problems.Add(wrong("a cron job may restart the server during the migration", path,
			"comment it out until the migration is finished"))
	}
	if p, alive, err := process.PIDFile(s.Home); err == nil && alive && state.Stopped {
		problems.Add(wrong("a server runs, but not under "+where+": "+p.String(), p.Path,
			"stop it the way it was started (cidx server stop), and start it under "+where))
	}
	if len(problems) == 0 && !s.running && !state.Stopped {
		problems.Add(wrong("the server is "+state.Word, where, "wait until it runs, or see its log"))
	}
	word := "stopped"
	if s.running {
		word = "running"
	}
	s.foreign(ctx)
	detail := where + ": " + word
	if who := listener(base); who != "" && s.running {
		detail += " at " + base
	}
	return outcome{detail: detail, problems: problems}
}

// listener names who listens at the server's port; "" if nobody does.
func listener(base string) string {
	if u, err := url.Parse(base); err == nil {
		if port, err := strconv.Atoi(u.Port()); err == nil {
			if p, ok := process.Listener(port); ok {
				return p.String()
			}
		}
	}
	return ""
}

// units checks what only systemd can tell.
func (s *server) units(ctx context.Context) problem.List {
	if !s.control.Scope.Allowed {
		return problem.List{{What: "only root may stop and hold units", At: s.Server(), Fix: s.control.Scope.Remedy()}}
	}
	units, err := s.control.Systemd().Discover(ctx, s.Server(), s.Quiesce)
	if err != nil {
		return nil // Status has told why systemd does not answer
	}
	var problems problem.List
	for _, u := range units.Others() {
		if u.Load != "loaded" && u.Load != "masked" {
			problems.Add(wrong("the unit is "+u.Load, u.ID, "correct cidx_service_quiesce_units, or the unit"))
		}
	}
	if dir, ok := dataDir(units.Server); ok && !same(dir, s.Home) {
		problems.Add(wrong("the unit runs a server with another data directory: "+dir, s.Server(),
			"set cidx_home to it, or cidx_service_unit to the unit of "+s.Home))
	}
	if units.Server.Stale {
		s.warn("%s: its files have changed since systemd read them; "+
			"the migration's daemon-reload makes that take effect: see it with systemctl cat, and try it with a restart before", s.Server())
	}
	return append(problems, program(ctx, units.Server)...)
}

// program checks that what the unit starts is still there: a server whose program
// was removed or replaced answers until it is stopped, and then never again.
func program(ctx context.Context, u service.Unit) problem.List {
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
			problems.Add(wrong("the unit's program is not there: a stopped server would not start again, not even after a rollback",
				a.Path, "restore it, or correct ExecStart of "+u.ID))
		}
	}
	return problems
}

// dataDir is the data directory of the unit's server: CIDX_SERVER_DATA_DIR of
// the running process, else of the unit, else ~/.cidx-server of its user.
func dataDir(u service.Unit) (string, bool) {
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
func (s *server) api(ctx context.Context) outcome {
	base, err := s.control.Address(ctx)
	if err != nil {
		return outcome{blocked: "the server's address is not known"}
	}
	client, err := cidxapi.New(ctx, cidxapi.Options{Base: base, User: s.APIUser, Password: s.APIPassword, TOTP: s.TOTP, Key: s.APIKey})
	if err != nil {
		return outcome{problems: problem.Of(err)}
	}
	if !client.Credentials() {
		return outcome{problems: problem.List{wrong("no credentials for the API, so the migration could not be verified", base,
			"set cidx_api_key, or cidx_api_user and cidx_api_password, of an administrator")}}
	}
	if state, err := s.control.Status(ctx); err == nil && state.Stopped {
		return outcome{detail: "server is stopped; credentials not tried", problems: s.twin(ctx)}
	}
	live, err := client.Healthz(ctx)
	if err != nil {
		return outcome{problems: problem.Of(err)}
	}
	if live.Status != cidxapi.Healthy && live.Status != cidxapi.Answers {
		s.warn("%s calls itself %s", base, live.Status)
	}
	// Only an administrator sees this list, and the verification needs it.
	repos, err := client.GoldenRepos(ctx)
	if err != nil {
		return outcome{problems: append(problem.Of(err), s.clusterAlready(client)...)}
	}
	var problems problem.List
	if clustered := s.early(ctx, client); !clustered {
		problems = s.twin(ctx)
	}
	s.jobs(ctx, client)
	return outcome{detail: base + ", " + human.Count(len(repos), "repository", "repositories"), problems: problems}
}

// clusterAlready explains why a server refuses the credentials of its own users:
// see early.
func (s *server) clusterAlready(client *cidxapi.Client) problem.List {
	if len(s.nodes) == 0 || !s.found.notMigrated() {
		return nil
	}
	return problem.List{{
		What: fmt.Sprintf("a server runs in cluster mode already (node %s), though the data was not migrated: "+
			"restarted after cluster-join.sh, it works on a PostgreSQL without your users", strings.Join(s.nodes, ", ")),
		At:  client.Base(),
		Fix: "stop it, then run again: a stopped server is migrated as well, and what was written to PostgreSQL meanwhile is listed first",
	}}
}

// early warns of a server that was restarted after cluster-join.sh and before
// the migration: it runs on an empty PostgreSQL, and what users do meanwhile is
// not in SQLite. clustered is false where the server says that it is standalone.
func (s *server) early(ctx context.Context, client *cidxapi.Client) (clustered bool) {
	node, err := client.CheckHealth(ctx)
	if err == nil {
		s.reply.Data["server_version"] = node.Version
	}
	if err == nil && node.NodeID != "" && s.found.notMigrated() {
		s.warn("%s runs in cluster mode already (node %s), though its data was not migrated: it was restarted after cluster-join.sh; "+
			"what users changed since is in PostgreSQL only", client.Base(), node.NodeID)
	}
	return err != nil || node.NodeID != ""
}
