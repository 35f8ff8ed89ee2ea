package standin

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

const pgBin = "/usr/lib/postgresql/15/bin"

// postgres is one temporary PostgreSQL for all tests, started by the first that asks.
var postgres pgServer

type pgServer struct {
	once sync.Once
	err  error
	dir  string
	port int
	next int
	mu   sync.Mutex
}

// dsn returns a connection string of a new, empty database; its password is "sekret".
func (p *pgServer) dsn(t *testing.T) string {
	t.Helper()
	p.once.Do(func() { p.err = p.start() })
	must(t, p.err)
	p.mu.Lock()
	p.next++
	name := fmt.Sprint("cidx", p.next)
	p.mu.Unlock()
	conn, err := pgx.Connect(t.Context(), p.url("postgres"))
	must(t, err)
	defer func() { _ = conn.Close(t.Context()) }()
	_, err = conn.Exec(t.Context(), "CREATE DATABASE "+name)
	must(t, err)
	return p.url(name)
}

func (p *pgServer) url(database string) string {
	return fmt.Sprintf("postgresql://cidx:sekret@127.0.0.1:%d/%s", p.port, database)
}

func (p *pgServer) start() error {
	dir, err := os.MkdirTemp("", "standin-pg")
	if err != nil {
		return err
	}
	p.dir = dir
	pass := filepath.Join(dir, "pass")
	if err := os.WriteFile(pass, []byte("sekret"), 0o644); err != nil {
		return err
	}
	if err := giveToPostgres(dir); err != nil {
		return err
	}
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.port = probe.Addr().(*net.TCPAddr).Port
	_ = probe.Close()
	if err := p.run("initdb", "-D", dir+"/data", "-U", "cidx", "-A", "scram-sha-256", "--pwfile", pass, "--no-sync", "-E", "UTF8"); err != nil {
		return err
	}
	opts := fmt.Sprintf("-h 127.0.0.1 -p %d -k '' -F -c synchronous_commit=off", p.port)
	return p.run("pg_ctl", "-D", dir+"/data", "-w", "-l", dir+"/log", "-o", opts, "start")
}

func (p *pgServer) stop() {
	if p.dir != "" {
		_ = p.run("pg_ctl", "-D", p.dir+"/data", "-m", "immediate", "stop")
		_ = os.RemoveAll(p.dir)
	}
}

func (p *pgServer) run(name string, args ...string) error {
	cmd := exec.Command(filepath.Join(pgBin, name), args...)
	cmd.Dir = p.dir
	out := &bytes.Buffer{}
	if name != "pg_ctl" { // the server that pg_ctl starts would keep a pipe open
		cmd.Stdout, cmd.Stderr = out, out
	}
	if cred, err := postgresUser(); err != nil {
		return err
	} else if cred != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// postgresUser is whom to become: PostgreSQL refuses root.
func postgresUser() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := osuser.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func giveToPostgres(dir string) error {
	cred, err := postgresUser()
	if err != nil || cred == nil {
		return err
	}
	return os.Chown(dir, int(cred.Uid), int(cred.Gid))
}

func openTest(t *testing.T, dsn string) (*pgx.Conn, error) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
	}
	return conn, err
}
