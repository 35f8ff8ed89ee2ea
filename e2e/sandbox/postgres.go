package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"cidx-cluster/e2e/seed"
)

// Postgres is a cluster of the sandbox's own, reached by TCP on loopback with
// SCRAM passwords. Role and database are both called cidx; the role is no
// superuser.
type Postgres struct {
	Port          int    `json:"port"`
	Data          string `json:"data"`
	Password      string `json:"password"`      // of cidx
	AdminPassword string `json:"adminPassword"` // of postgres
}

// DSN is how the server reaches the database.
func (p Postgres) DSN() string { return p.dsn("cidx", p.Password, "cidx") }

func (p Postgres) dsn(name, password, database string) string {
	u := url.URL{Scheme: "postgresql", User: url.UserPassword(name, password),
		Host: "127.0.0.1:" + strconv.Itoa(p.Port), Path: "/" + database}
	return u.String()
}

// Env lets psql and friends log in as cidx without a password on their command line.
func (p Postgres) Env() []string {
	return []string{"PGHOST=127.0.0.1", "PGPORT=" + strconv.Itoa(p.Port), "PGUSER=cidx", "PGDATABASE=cidx", "PGPASSWORD=" + p.Password}
}

func (s *Sandbox) startPostgres(ctx context.Context, o Options) error {
	bin, err := postgresBin()
	if err != nil {
		return err
	}
	if err := s.Postgres.create(ctx, bin, o.Cache); err != nil {
		return err
	}
	if err := s.Postgres.configure(o.Fsync); err != nil {
		return err
	}
	if err := s.Postgres.Start(ctx); err != nil {
		return err
	}
	if err := s.Postgres.admit(ctx); err != nil {
		return err
	}
	if o.NoSchema {
		return nil
	}
	if err := seed.ApplySchema(ctx, s.Postgres.DSN(), false); err != nil {
		return fmt.Errorf("make schema: %w", err)
	}
	return nil
}

// postgresBin finds the newest PostgreSQL that Debian installed.
func postgresBin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.New("find PostgreSQL: no /usr/lib/postgresql/*/bin/initdb: run make setup")
	}
	newest, highest := "", -1.0
	for _, path := range found {
		bin := filepath.Dir(path)
		if v, err := strconv.ParseFloat(filepath.Base(filepath.Dir(bin)), 64); err == nil && v > highest {
			newest, highest = bin, v
		}
	}
	return newest, nil
}

// create copies the cached cluster of this version, or makes one. Its
// superuser's password is changed by admit.
func (p Postgres) create(ctx context.Context, bin, cache string) error {
	if cache == "" {
		return initdb(ctx, bin, p.Data)
	}
	template := filepath.Join(cache, "postgres-"+filepath.Base(filepath.Dir(bin)))
	if _, err := os.Stat(template); err != nil {
		if err := makeTemplate(ctx, bin, template); err != nil {
			return err
		}
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", template, p.Data).CombinedOutput(); err != nil {
		return fmt.Errorf("copy PostgreSQL template: %w: %s", err, out)
	}
	return nil
}

// makeTemplate leaves a complete template or none; several callers may try at once.
func makeTemplate(ctx context.Context, bin, template string) error {
	if err := os.MkdirAll(filepath.Dir(template), 0o755); err != nil {
		return fmt.Errorf("make cache: %w", err)
	}
	work, err := os.MkdirTemp("", "cidx-initdb-")
	if err != nil {
		return fmt.Errorf("make PostgreSQL template: %w", err)
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil {
		return fmt.Errorf("make PostgreSQL template: %w", err)
	}
	data := filepath.Join(work, "data")
	if err := initdb(ctx, bin, data); err != nil {
		return err
	}
	nursery, err := os.MkdirTemp(filepath.Dir(template), "new-")
	if err != nil {
		return fmt.Errorf("keep PostgreSQL template: %w", err)
	}
	defer os.RemoveAll(nursery)
	partial := filepath.Join(nursery, "data")
	if out, err := exec.CommandContext(ctx, "cp", "-a", data, partial).CombinedOutput(); err != nil {
		return fmt.Errorf("keep PostgreSQL template: %w: %s", err, out)
	}
	if err := os.Rename(partial, template); err != nil {
		if _, there := os.Stat(template); there != nil {
			return fmt.Errorf("keep PostgreSQL template: %w", err)
		}
	}
	return nil
}

// initial is the superuser's password in a cluster that nobody can reach yet.
const initial = "initial"

func initdb(ctx context.Context, bin, data string) error {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("make PostgreSQL folder: %w", err)
	}
	account, err := postgresAccount()
	if err != nil {
		return err
	}
	if account != nil {
		if err := os.Chown(data, int(account.Uid), int(account.Gid)); err != nil {
			return fmt.Errorf("make PostgreSQL folder: %w", err)
		}
	}
	passwordFile := data + ".initial" // initdb may not read our pipes when it runs as another account
	if err := os.WriteFile(passwordFile, []byte(initial+"\n"), 0o644); err != nil {
		return fmt.Errorf("write initial password: %w", err)
	}
	defer os.Remove(passwordFile)
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "--username=postgres", "--encoding=UTF8",
		"--locale=C.UTF-8", "--auth=scram-sha-256", "--pwfile="+passwordFile, "--no-sync")
	asAccount(cmd, account)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

func (p Postgres) configure(fsync bool) error {
	conf := fmt.Sprintf("\nlisten_addresses = '127.0.0.1'\nport = %d\nunix_socket_directories = ''\nmax_connections = 60\n"+
		"shared_buffers = 32MB\nlog_min_error_statement = panic\nlogging_collector = off\n", p.Port)
	if !fsync {
		conf += "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"
	}
	f, err := os.OpenFile(filepath.Join(p.Data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("configure PostgreSQL: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteString(conf); err != nil {
		return fmt.Errorf("configure PostgreSQL: %w", err)
	}
	return nil
}

// Start starts the cluster and waits until it answers.
func (p Postgres) Start(ctx context.Context) error {
	return p.control(ctx, "start", "-w", "-t", "60", "-s", "-l", filepath.Join(p.Data, "server.log"))
}

// Stop ends the cluster in order, Crash as a power cut would.
func (p Postgres) Stop(ctx context.Context) error { return p.end(ctx, "fast") }

// Crash leaves recovery to the next start.
func (p Postgres) Crash(ctx context.Context) error { return p.end(ctx, "immediate") }

func (p Postgres) end(ctx context.Context, mode string) error {
	if !p.process().Alive() {
		return nil
	}
	return p.control(ctx, "stop", "-w", "-t", "60", "-s", "-m", mode)
}

func (p Postgres) control(ctx context.Context, args ...string) error {
	bin, err := postgresBin()
	if err != nil {
		return err
	}
	account, err := postgresAccount()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "pg_ctl"), append(args, "-D", p.Data)...)
	asAccount(cmd, account)
	// Files, not pipes: the server inherits them, and a pipe would keep us waiting for it.
	said, err := os.CreateTemp("", "cidx-pg-ctl-")
	if err != nil {
		return fmt.Errorf("pg_ctl %s: %w", args[0], err)
	}
	defer os.Remove(said.Name())
	defer said.Close()
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(said.Name())
		log, _ := os.ReadFile(filepath.Join(p.Data, "server.log"))
		return fmt.Errorf("pg_ctl %s: %w: %s%s", args[0], err, bytes.TrimSpace(text), tail(log, 2000))
	}
	return nil
}

func tail(text []byte, n int) []byte { return text[max(0, len(text)-n):] }

// process is the postmaster, from its own pid file.
func (p Postgres) process() Process {
	data, err := os.ReadFile(filepath.Join(p.Data, "postmaster.pid"))
	if err != nil {
		return Process{}
	}
	first, _, _ := strings.Cut(string(data), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil {
		return Process{}
	}
	running, err := processOf(pid)
	if err != nil {
		return Process{}
	}
	return running
}

// admit makes the role and the database, and ends the initial password.
func (p Postgres) admit(ctx context.Context) error {
	conn, err := connect(ctx, p.dsn("postgres", initial, "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	strategy := " STRATEGY file_copy" // known from 15 on
	if v := conn.PgConn().ParameterStatus("server_version"); strings.HasPrefix(v, "13.") || strings.HasPrefix(v, "14.") {
		strategy = ""
	}
	for _, statement := range []string{
		"ALTER ROLE postgres PASSWORD '" + p.AdminPassword + "'",
		"CREATE ROLE cidx LOGIN PASSWORD '" + p.Password + "'",
		"CREATE DATABASE cidx OWNER cidx ENCODING 'UTF8' TEMPLATE template0" + strategy,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("prepare PostgreSQL: %w", err)
		}
	}
	return nil
}

func connect(ctx context.Context, dsn string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, fmt.Errorf("connect to the sandbox's PostgreSQL: %w", err)
	}
	return conn, nil
}

// postgresAccount is the account that PostgreSQL runs as: nil means the caller's.
func postgresAccount() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	return credential("postgres")
}

func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("look up account: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("look up account %s: %w", name, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("look up account %s: %w", name, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func asAccount(cmd *exec.Cmd, account *syscall.Credential) {
	cmd.Dir = "/" // the caller's folder may be closed to the account
	if account != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: account}
	}
}
