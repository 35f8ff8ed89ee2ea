package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
)

// cluster is a private PostgreSQL on a free loopback port, with the settings
// of a small production server.
type cluster struct {
	bin, data string
	port      int
	password  string
	owner     *syscall.Credential // nil unless we are root: initdb refuses root
}

func startCluster(ctx context.Context, dir string) (*cluster, error) {
	c := &cluster{data: filepath.Join(dir, "data"), bin: newestBin()}
	if c.bin == "" {
		return nil, fmt.Errorf("find initdb: install Debian's postgresql")
	}
	secret := make([]byte, 12)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	c.password = hex.EncodeToString(secret)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := c.chown(dir); err != nil {
		return nil, err
	}
	pwfile := filepath.Join(dir, "pw")
	if err := os.WriteFile(pwfile, []byte(c.password), 0o644); err != nil {
		return nil, err
	}
	initdb := c.command(ctx, "initdb", "-D", c.data, "-U", "bench", "-A", "scram-sha-256", "--pwfile", pwfile,
		"-E", "UTF8", "--locale", "C.UTF-8")
	if err := initdb.Run(); err != nil {
		return nil, fmt.Errorf("initdb: %w", err)
	}
	var err error
	if c.port, err = freePort(); err != nil {
		return nil, err
	}
	settings := fmt.Sprintf("-p %d -c listen_addresses=127.0.0.1 -c unix_socket_directories=%s "+
		"-c shared_buffers=1GB -c max_wal_size=8GB -c fsync=on", c.port, dir)
	start := c.command(ctx, "pg_ctl", "-D", c.data, "-l", filepath.Join(dir, "log"), "-w", "-o", settings, "start")
	if err := start.Run(); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	return c, nil
}

func (c *cluster) stop() {
	if err := c.command(context.Background(), "pg_ctl", "-D", c.data, "-m", "immediate", "-w", "stop").Run(); err != nil {
		say("stop PostgreSQL: %v", err)
	}
}

func (c *cluster) chown(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	c.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(path, uid, gid)
}

func (c *cluster) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, name), args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.owner}
	return cmd
}

// dsn is the connection string of a database; only ever in an environment, a
// private file or standard input.
func (c *cluster) dsn(database string) string {
	return fmt.Sprintf("postgresql://bench:%s@127.0.0.1:%d/%s", c.password, c.port, database)
}

// env is the environment of a libpq program for a database.
func (c *cluster) env(database string) []string {
	return append(os.Environ(), "PGHOST=127.0.0.1", "PGPORT="+strconv.Itoa(c.port), "PGUSER=bench",
		"PGPASSWORD="+c.password, "PGDATABASE="+database, "CIDX_POSTGRES_DSN="+c.dsn(database))
}

// psql runs SQL and returns what it prints, unaligned, tuples only.
func (c *cluster) psql(ctx context.Context, database, sql string) (string, error) {
	cmd := exec.CommandContext(ctx, "psql", "-XAtq", "-v", "ON_ERROR_STOP=1")
	cmd.Env, cmd.Stdin = c.env(database), strings.NewReader(sql)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// fresh makes a database as a copy of another one.
func (c *cluster) fresh(ctx context.Context, name, template string) error {
	if _, err := c.psql(ctx, "postgres", fmt.Sprintf("DROP DATABASE IF EXISTS %s", name)); err != nil {
		return err
	}
	_, err := c.psql(ctx, "postgres", fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s; CHECKPOINT", name, template))
	return err
}

func newestBin() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	sort.Slice(found, func(i, j int) bool { return version(found[i]) > version(found[j]) })
	if len(found) == 0 {
		return ""
	}
	return filepath.Dir(found[0])
}

func version(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
