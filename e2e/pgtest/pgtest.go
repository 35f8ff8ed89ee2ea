// Package pgtest runs a private PostgreSQL for the tests of one package:
// loopback only, a port chosen by the kernel, no fsync, removed at the end.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"cidx-cluster/e2e/internal/ports"
)

// Cluster is a running PostgreSQL.
type Cluster struct {
	dir, bin string
	port     int
	account  *syscall.Credential // of the server, when we are root
	made     atomic.Int64
}

// Run starts a cluster, calls the tests, and stops it: os.Exit(pgtest.Run(m, &cluster)).
func Run(m *testing.M, c *Cluster) int {
	if err := c.start(); err != nil {
		fmt.Fprintln(os.Stderr, "start PostgreSQL for tests:", err)
		return 1
	}
	defer c.stop()
	return m.Run()
}

// Database makes an empty database and answers its DSN; role cidx owns it and is no superuser.
func (c *Cluster) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("cidx%d", c.made.Add(1))
	conn, err := pgx.Connect(context.Background(), c.dsn("postgres", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), "CREATE DATABASE "+name+" OWNER cidx"); err != nil {
		t.Fatal(err)
	}
	return c.dsn("cidx", name)
}

func (c *Cluster) dsn(role, database string) string {
	return fmt.Sprintf("postgresql://%s:test@127.0.0.1:%d/%s", role, c.port, database)
}

func (c *Cluster) start() error {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return errors.New("find initdb: install Debian's postgresql")
	}
	c.bin = filepath.Dir(found[len(found)-1])
	var err error
	if c.dir, err = os.MkdirTemp("", "pgtest-"); err != nil {
		return err
	}
	if err := c.asServer(); err != nil {
		return err
	}
	free, err := ports.Free(1)
	if err != nil {
		return err
	}
	c.port = free[0]
	data := filepath.Join(c.dir, "data")
	if err := c.run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"); err != nil {
		return err
	}
	options := fmt.Sprintf("-c listen_addresses=127.0.0.1 -c port=%d -c unix_socket_directories=%s -c fsync=off", c.port, c.dir)
	if err := c.run("pg_ctl", "-D", data, "-l", filepath.Join(c.dir, "log"), "-w", "-o", options, "start"); err != nil {
		return err
	}
	conn, err := pgx.Connect(context.Background(), c.dsn("postgres", "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	_, err = conn.Exec(context.Background(), "CREATE ROLE cidx LOGIN PASSWORD 'test'")
	return err
}

// asServer gives the folder to the account postgres when we are root, which the server refuses to run as.
func (c *Cluster) asServer() error {
	if os.Geteuid() != 0 {
		return nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(account.Gid)
	if err != nil {
		return err
	}
	c.account = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(c.dir, uid, gid)
}

func (c *Cluster) stop() {
	if err := c.run("pg_ctl", "-D", filepath.Join(c.dir, "data"), "-m", "immediate", "stop"); err != nil {
		fmt.Fprintln(os.Stderr, "stop PostgreSQL for tests:", err)
	}
	os.RemoveAll(c.dir)
}

func (c *Cluster) run(program string, args ...string) error {
	cmd := exec.Command(filepath.Join(c.bin, program), args...)
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.account}
	log, err := os.CreateTemp("", "pgtest-out-") // a pipe would stay open in the server
	if err != nil {
		return err
	}
	defer os.Remove(log.Name())
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		out, _ := os.ReadFile(log.Name())
		return fmt.Errorf("run %s: %w: %s", program, err, out)
	}
	return nil
}
