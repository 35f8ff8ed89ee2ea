// Package verify is cidx_verify: it waits until the CIDX server is healthy,
// proves in which mode it runs, and that every repository of the registry is
// listed by the API and answers a search with a file that exists.
//
// The registry is the tables golden_repos_metadata and global_repos in cluster
// mode; in standalone mode the administrator's list and the alias files. A
// word to search for is found in the repository's own files below the target of
// its alias, because a search without hits is no error for CIDX.
//
// It only asks. In check mode it does nothing: the server is not where it will
// be, and precheck has tried the login.
package verify

import (
	"context"
	"fmt"
	"time"

	"cidx-cluster/modules/cidx_verify/search"
	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/cidxapi"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/secret"
	"cidx-cluster/modules/internal/service"
	"cidx-cluster/modules/internal/share"
)

// args are the arguments of cidx_verify.
type args struct {
	home.Common
	Mode        string            `arg:"mode" required:"true" choices:"cluster,standalone,remember,session"`
	Manager     string            `arg:"service_manager" default:"systemd" choices:"systemd,command" doc:"What runs the server."`
	Unit        string            `arg:"service_unit" default:"cidx-server" doc:"The server's systemd unit."`
	URL         string            `arg:"url"`
	Timeout     int               `arg:"timeout"`
	APIUser     string            `arg:"api_user" doc:"An administrator of CIDX."`
	APIPassword string            `arg:"api_password" secret:"true" doc:"Password of I(api_user)."`
	APIKey      string            `arg:"api_key" secret:"true" doc:"Used instead of I(api_user); needs no second factor."`
	APITOTP     string            `arg:"api_totp_secret" secret:"true" doc:"The base32 key of the second factor of I(api_user)."`
	DSN         string            `arg:"postgres_dsn" secret:"true" doc:"Connection string. Default: C(postgres_dsn) of C(config.json)."`
	First       map[string]any    `arg:"first"`
	Registered  []string          `arg:"registered" doc:"With C(mode=cluster): repositories that the cluster has to know still."`
	Seal        string            `arg:"seal" secret:"true" doc:"Key that closes what passes from node to node; the action plugin's."`
	Queries     map[string]string `arg:"queries" doc:"Word to search for, by alias. Default: words of the repository's own files."`
}

// Module is cidx_verify.
func Module() ansible.Module {
	return ansible.New(ansible.Doc{
		Name:  "cidx_verify",
		Short: "Prove that a CIDX server is up, in the right mode, and finds something in every repository",
		Description: []string{
			"Waits until the server is healthy; a degraded server is accepted with a warning that names the reasons.",
			"Proves the mode: the node's own id, and in cluster mode a fresh heartbeat in PostgreSQL.",
			"Compares the lists of the API with the registry, and searches every repository for a word that is in its files.",
		},
		Arguments: map[string]string{
			"mode": "The mode in which the server has to run. C(remember) asks a standalone server that is to be migrated for the same " +
				"searches: where they find nothing, it only has to answer after the migration. C(session), on a node of the cluster, " +
				"logs in and tells what a further node is compared with; its session is closed with I(seal).",
			"url": "Address of the server. Default: the socket on which it listens, else host and port of the unit's C(ExecStart), " +
				"the address found by an earlier run, C(applied_launch.json), C(launch.json), C(http://127.0.0.1:8000).",
			"timeout": "Seconds to wait at least for the first answer, and from there until the server is healthy. Default: ten times " +
				"the longest start so far, at least 2 minutes; 5 minutes where none was measured; then 30 seconds to be healthy.",
			"first": "With C(mode=cluster): C(session) of the reply of C(mode=session) on another node. This one has to accept its " +
				"session, to be of the same release and to list the same repositories.",
		},
		Check: "Is skipped.",
		Returns: []ansible.Return{
			{Name: "healthy_seconds", Type: "float", Doc: "Seconds until the server was healthy."},
			{Name: "server_version", Type: "str", Doc: "Release of the server."},
			{Name: "server_status", Type: "str", Doc: "C(healthy) or C(degraded); C(answers) for a release before 11.65."},
			{Name: "node_id", Type: "str", Doc: "The node's id; empty in standalone mode."},
			{Name: "repositories", Type: "list",
				Doc: "One item a repository: C(alias), C(golden), C(accessible), C(hits), C(word), C(mode), C(path) of the first hit."},
			{Name: "accessible", Type: "int", Doc: "How many repositories are accessible."},
			{Name: "without", Type: "dict",
				Doc: "With C(mode=remember): repositories in which nothing was found, and how the server answered."},
			{Name: "session", Type: "dict", Doc: "With C(mode=session): what another node is compared with. The session in it is closed."},
			{Name: "total", Type: "int", Doc: "How many repositories the registry has."},
		},
		Example: `- name: Prove that the cluster node works
  cidx.cluster.cidx_verify:
    home: /home/cidx/.cidx-server
    mode: cluster
    api_key: "{{ vault_cidx_api_key }}"
`,
	}, run)
}

// Modes that verify nothing.
const (
	modeRemember = "remember"
	modeSession  = "session"
)

// queryTimeout bounds one search: the first one of a repository loads its
// index, which lies on network storage.
const queryTimeout = 2 * time.Minute

func run(ctx context.Context, a args, mode ansible.Mode) (ansible.Reply, error) {
	if a.Mode == modeRemember {
		return remember(ctx, a, mode)
	}
	if a.Mode == modeSession {
		return session(ctx, a)
	}
	if mode.Check {
		return ansible.Reply{Skipped: "the server is verified in a real run only"}, nil
	}
	watch := share.Watch{}
	if a.Mode == "cluster" { // a standalone server does without the share
		watch.Mount = a.KnownMount(ctx)
	}
	lost := ansible.Reply{Msg: "verification failed"}
	return share.Guard(ctx, watch, lost, func(ctx context.Context) (ansible.Reply, error) {
		return verify(ctx, a)
	})
}

// verify does everything there is to do.
func verify(ctx context.Context, a args) (ansible.Reply, error) {
	v, err := prepare(ctx, a)
	if err != nil {
		return ansible.Reply{Msg: "verification cannot start"}, err
	}
	if err := v.everything(ctx); err != nil {
		v.reply.Msg = "verification failed"
		return v.reply, err
	}
	v.reply.Msg = v.sentence()
	progress.Line(ctx, "%s", v.reply.Msg)
	return v.reply, nil
}

// verification is one run.
type verification struct {
	args   args
	config home.Config
	layout home.Layout
	api    *cidxapi.Client
	known  search.Memory
	reply  ansible.Reply

	longest time.Duration // start that the journal knows
}

// prepare reads what lies on disk. Nothing is asked of the server yet.
func prepare(ctx context.Context, a args) (*verification, error) {
	secret.KeepDSN(ctx, a.DSN)
	v := &verification{args: a, reply: ansible.Reply{Data: map[string]any{}}}
	var problems problem.List
	if a.Timeout < 0 {
		problems.Add(problem.Problem{What: fmt.Sprintf("timeout is %d", a.Timeout), At: "cidx_verify_timeout",
			Fix: "give a number of seconds, or leave it out"})
	}
	var err error
	v.config, err = a.Config(ctx)
	problems.Add(err)
	if err == nil {
		problems.Add(v.expectMode())
	}
	entries, err := journal.Read(a.State().Journal())
	problems.Add(err)
	v.longest = longestStart(entries)
	if a.Mode != modeRemember {
		v.known = recall(entries)
	}
	v.layout, err = home.Detect(a.Home, v.config.Share)
	problems.Add(err)
	problems.Add(v.locate(ctx))
	if v.api != nil && !v.api.Credentials() {
		problems.Add(problem.Problem{What: "no credentials for the API", At: v.api.Base(),
			Fix: "set cidx_api_key, or cidx_api_user and cidx_api_password, of an administrator"})
	}
	return v, problems.Err()
}

// locate finds the server's address and makes the client for it. While a server
// starts, it may become known only when it listens: ask again.
func (v *verification) locate(ctx context.Context) error {
	a := v.args
	control := service.New(service.Args{Manager: a.Manager, Unit: a.Unit, URL: a.URL}, a.Common)
	base, err := control.Address(ctx)
	if err != nil || v.api != nil && v.api.Base() == base {
		return err
	}
	api, err := cidxapi.New(ctx, cidxapi.Options{
		Base: base, User: a.APIUser, Password: a.APIPassword, TOTP: a.APITOTP, Key: a.APIKey, Timeout: queryTimeout,
	})
	if err != nil {
		return err
	}
	v.api = api
	return nil
}

// expectMode compares config.json with the mode that is to be proven.
func (v *verification) expectMode() error {
	if v.args.Mode == "cluster" && !v.config.Cluster() {
		return problem.Problem{What: fmt.Sprintf("storage_mode is %q, not \"postgres\"", v.config.StorageMode), At: v.config.Path,
			Fix: "run cluster-migrate.yml: this server is not a cluster node"}
	}
	if v.args.Mode == "standalone" && v.config.StorageMode != cidx.ModeSQLite {
		return problem.Problem{What: fmt.Sprintf("storage_mode is %q, not \"sqlite\"", v.config.StorageMode), At: v.config.Path,
			Fix: "run cluster-rollback.yml: this server is not a standalone one"}
	}
	if v.args.Mode == "cluster" && v.config.NodeID == "" {
		return problem.Problem{What: "cluster.node_id is missing", At: v.config.Path, Fix: "run cluster-join.sh on this node"}
	}
	return nil
}

// everything runs the checks; each adds its line and its check to the reply.
// Later ones need the earlier ones.
func (v *verification) everything(ctx context.Context) error {
	if err := v.awaitHealth(ctx); err != nil {
		return err
	}
	entries, err := v.proveMode(ctx)
	if err != nil {
		return err
	}
	if err := v.repositories(ctx, entries); err != nil || len(v.args.First) == 0 {
		return err
	}
	return v.likeFirst(ctx, entries)
}

// passed and failed add a line of the transcript and a check of the reply.
func (v *verification) passed(ctx context.Context, name, detail string) {
	progress.Line(ctx, "  %s: OK (%s)", name, detail)
	v.reply.Checks = append(v.reply.Checks, ansible.Check{Name: name, OK: true, Detail: detail})
}

func (v *verification) failed(ctx context.Context, name, detail string) {
	progress.Line(ctx, "  %s: FAILED (%s)", name, detail)
	v.reply.Checks = append(v.reply.Checks, ansible.Check{Name: name, Detail: detail})
}

func (v *verification) warn(format string, values ...any) {
	v.reply.Warnings = append(v.reply.Warnings, fmt.Sprintf(format, values...))
}

// sentence is the last line of a success.
func (v *verification) sentence() string {
	subject := "Migration"
	if standing, err := v.args.Standing(); err == nil && standing.Node() {
		subject = "Node"
	}
	if v.args.Mode == "standalone" {
		subject = "Standalone server"
	}
	return fmt.Sprintf("%s verified: %d repos accessible, query test passed", subject, v.reply.Data["accessible"])
}
