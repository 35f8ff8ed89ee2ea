// Package pgtest runs a PostgreSQL cluster of its own for the tests of one
// package: made with initdb, on a free loopback port, in a temporary folder,
// never as root, without fsync, and gone when the test process is.
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"cidx-cluster/modules/internal/child"
)

// Password of the superuser "admin"; tests look for it in messages.
const Password = "pg-Test-Password"

var cluster struct {
	once sync.Once
	err  error
	dir  string
	port int
	cmd  *exec.Cmd
	next int
	mu   sync.Mutex
}

// Run runs the tests and removes the cluster that they may have started.
func Run(m *testing.M) int {
	child.Serve()
	code := m.Run()
	if cluster.cmd != nil && cluster.cmd.Process != nil {
		_ = cluster.cmd.Process.Signal(syscall.SIGQUIT) // immediate shutdown; it may be gone
		_ = cluster.cmd.Wait()                          // killed by us
	}
	if cluster.dir != "" {
		_ = os.RemoveAll(cluster.dir) // a temporary folder
	}
	return code
}

// Port starts the cluster if need be and returns its port on 127.0.0.1.
func Port(t testing.TB) int {
	t.Helper()
	cluster.once.Do(func() { cluster.err = start() })
	if cluster.err != nil {
		t.Fatalf("start PostgreSQL: %v", cluster.err)
	}
	return cluster.port
}

// DSN names a database of the cluster, as its superuser.
func DSN(t testing.TB, database string) string {
	return fmt.Sprintf("postgresql://admin:%s@127.0.0.1:%d/%s?sslmode=disable", Password, Port(t), database)
}

// Socket is the folder of the cluster's Unix socket.
func Socket(t testing.TB) string {
	t.Helper()
	Port(t)
	return cluster.dir
}

// Database makes an empty database and returns its DSN.
func Database(t testing.TB) string {
	t.Helper()
	Port(t)
	cluster.mu.Lock()
	cluster.next++
	name := fmt.Sprintf("test_%d", cluster.next)
	cluster.mu.Unlock()
	Exec(t, DSN(t, "postgres"), "CREATE DATABASE "+name)
	return DSN(t, name)
}

// Exec runs statements.
func Exec(t testing.TB, dsn string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer conn.Close(context.Background())
	for _, s := range statements {
		if _, err := conn.Exec(context.Background(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func start() error {
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		return err
	}
	cluster.dir = dir
	credential, err := unprivileged(dir)
	if err != nil {
		return err
	}
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(Password), 0o644); err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(tool("initdb"), "-D", data, "-U", "admin", "-A", "scram-sha-256", "--pwfile", secret, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, &syscall.SysProcAttr{Credential: credential}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	if cluster.port, err = freePort(); err != nil {
		return err
	}
	cluster.cmd = exec.Command(tool("postgres"), "-D", data, "-p", strconv.Itoa(cluster.port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories="+dir, "-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=40")
	cluster.cmd.Dir = dir
	cluster.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Pdeathsig: syscall.SIGQUIT}
	if err := cluster.cmd.Start(); err != nil {
		return err
	}
	return ready()
}

// unprivileged gives dir to Debian's user postgres when we are root.
func unprivileged(dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, uid, gid)
}

// tool finds a program of the newest PostgreSQL installed, or of the folder that
// CIDX_TEST_POSTGRES_BIN names: another version.
func tool(name string) string {
	if bin := os.Getenv("CIDX_TEST_POSTGRES_BIN"); bin != "" {
		return filepath.Join(bin, name)
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // the pattern is well-formed
	if len(found) == 0 {
		return name
	}
	return found[len(found)-1]
}

// freePort finds one below those that the kernel takes for outgoing
// connections, of which the other tests make many before this server listens.
func freePort() (int, error) {
	for range 100 {
		port := 10000 + rand.IntN(10000)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("find free port between 10000 and 20000: all that were tried are in use")
}

func ready() error {
	dsn := fmt.Sprintf("postgresql://admin:%s@127.0.0.1:%d/postgres?sslmode=disable", Password, cluster.port)
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(30 * time.Millisecond) {
		conn, err := pgx.Connect(context.Background(), dsn)
		if err == nil {
			return conn.Close(context.Background())
		}
		if time.Now().After(until) {
			return fmt.Errorf("no answer: %w", err)
		}
	}
}
