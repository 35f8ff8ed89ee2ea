package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// PgBouncer starts Debian's pgbouncer before the cluster, in the given pool
// mode ("session", "transaction"), and returns dsn as it goes through it. The
// test is skipped where pgbouncer is not installed.
func PgBouncer(t testing.TB, dsn, mode string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if program = "/usr/sbin/pgbouncer"; !exists(program) {
			t.Skip("pgbouncer is not installed (build/setup.sh test)")
		}
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	dir, credential := folder(t, "pgbouncer-")
	users := filepath.Join(dir, "users")
	settings := fmt.Sprintf("[databases]\n* = host=127.0.0.1 port=%d\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\nauth_type = plain\nauth_file = %s\npool_mode = %s\n",
		Port(t), port, users, mode)
	ini := filepath.Join(dir, "pgbouncer.ini")
	for path, text := range map[string]string{users: fmt.Sprintf("%q %q\n", "admin", Password), ini: settings} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	through := strings.Replace(dsn, ":"+strconv.Itoa(Port(t))+"/", ":"+strconv.Itoa(port)+"/", 1)
	serve(t, credential, dir, through, program, "-q", ini)
	return through
}

// Standby makes a replica of the cluster that follows it, and returns dsn as it
// names the replica.
func Standby(t testing.TB, dsn string) string {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	dir, credential := folder(t, "standby-")
	data := filepath.Join(dir, "data")
	copying := exec.Command(tool("pg_basebackup"), "-D", data, "-R", "-X", "stream", "-c", "fast", "--no-sync", "-h", "127.0.0.1", "-p", strconv.Itoa(Port(t)), "-U", "admin")
	copying.Dir, copying.Env = dir, append(os.Environ(), "PGPASSWORD="+Password)
	copying.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	if out, err := copying.CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v: %s", err, out)
	}
	replica := strings.Replace(dsn, ":"+strconv.Itoa(Port(t))+"/", ":"+strconv.Itoa(port)+"/", 1)
	serve(t, credential, dir, replica, tool("postgres"), "-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories="+dir, "-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=40")
	return replica
}

// SmallDisk moves the database of dsn to a file system of its own with so many
// MiB. It needs root; the test is skipped without.
func SmallDisk(t testing.TB, dsn string, mib int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	disk, _ := folder(t, "disk-")
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		t.Skipf("this machine does not let root mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) }) // goes with the cluster at the latest
	if _, err := unprivileged(disk); err != nil {
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	admin := DSN(t, "postgres")
	Exec(t, admin, "CREATE TABLESPACE small LOCATION '"+disk+"'",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+config.Database+"'", "ALTER DATABASE "+config.Database+" SET TABLESPACE small")
	t.Cleanup(func() {
		Exec(t, admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+config.Database+"'",
			"ALTER DATABASE "+config.Database+" SET TABLESPACE pg_default", "DROP TABLESPACE small")
	})
}

// folder makes one that the servers' user can reach; it goes with the cluster.
func folder(t testing.TB, name string) (string, *syscall.Credential) {
	t.Helper()
	Port(t)
	dir, err := os.MkdirTemp(cluster.dir, name)
	if err != nil {
		t.Fatal(err)
	}
	credential, err := unprivileged(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, credential
}

// serve runs a program until the test ends and waits until dsn answers.
func serve(t testing.TB, credential *syscall.Credential, dir, dsn, program string, args ...string) {
	t.Helper()
	var said strings.Builder
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Pdeathsig: syscall.SIGQUIT}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }() // killed by us
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT) // it may be gone
		<-ended
	})
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(30 * time.Millisecond) {
		conn, err := pgx.Connect(context.Background(), dsn)
		if err == nil {
			_ = conn.Close(context.Background()) // nothing was asked
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", filepath.Base(program), said.String())
		default:
		}
		if time.Now().After(until) {
			t.Fatalf("%s gives no answer: %v", filepath.Base(program), err)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
