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
	"cidx-cluster/modules/internal/job"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/secret"
	"cidx-cluster/modules/internal/service"
	"cidx-cluster/modules/internal/share"
)

// args are described in plugins/modules/cidx_verify.yml.
type args struct {
	home.Common
	Mode        string            `arg:"mode" required:"true" choices:"cluster,standalone,remember,session"`
	Manager     string            `arg:"service_manager" default:"systemd" choices:"systemd,command"`
	Unit        string            `arg:"service_unit" default:"cidx-server"`
	URL         string            `arg:"url"`
	Timeout     int               `arg:"timeout"`
	APIUser     string            `arg:"api_user"`
	APIPassword string            `arg:"api_password" secret:"true"`
	APIKey      string            `arg:"api_key" secret:"true"`
	APITOTP     string            `arg:"api_totp_secret" secret:"true"`
	DSN         string            `arg:"postgres_dsn" secret:"true"`
	First       map[string]any    `arg:"first"`
	Registered  []string          `arg:"registered"`
	Seal        string            `arg:"seal" secret:"true"`
	Queries     map[string]string `arg:"queries"`
}

// Module is cidx_verify.
func Module() ansible.Module {
	return ansible.New(ansible.Spec{Name: "cidx_verify", Lease: job.Peek}, run)
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
