package lab

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"cidx-cluster/e2e/seed"
)

// Database is PostgreSQL at an address of its own. It accepts TLS only, and
// scram passwords only. Role and database are called cidx.
type Database struct {
	dir, bin, mark string
	net            network
	Password       string
	admin          string // password of postgres
	server         *exec.Cmd
}

// Authority is the file with the certificate that the database's own is signed
// by; nodes have it at the same path.
const Authority = "/etc/ssl/cidx-lab.pem"

// DSN is how a node reaches the database.
func (d *Database) DSN() string { return d.dsn("cidx", d.Password, "cidx", Authority) }

func (d *Database) dsn(user, password, database, authority string) string {
	u := url.URL{Scheme: "postgresql", User: url.UserPassword(user, password), Host: d.net.addr(atDatabase) + ":5432", Path: "/" + database,
		RawQuery: "sslmode=verify-full&sslrootcert=" + authority}
	return u.String()
}

// fromHere is the DSN for this machine, which has no Authority.
func (d *Database) fromHere(database string) string {
	return d.dsn("postgres", d.admin, database, d.certificate())
}

func (d *Database) certificate() string { return filepath.Join(d.dir, "ca.pem") }

func (d *Database) data() string { return filepath.Join(d.dir, "data") }

// newDatabase makes and starts the server, and the template of an empty CIDX database.
func newDatabase(ctx context.Context, dir, mark string, n network) (*Database, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return nil, errors.New("find PostgreSQL: no /usr/lib/postgresql/*/bin/initdb: run make setup")
	}
	d := &Database{dir: dir, bin: filepath.Dir(found[len(found)-1]), mark: mark, net: n, Password: password(), admin: password()}
	for _, step := range []func(context.Context) error{d.initdb, d.configure, d.Start, d.template} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *Database) initdb(ctx context.Context) error {
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return fmt.Errorf("make database folder: %w", err)
	}
	first := filepath.Join(d.dir, "first")
	if err := os.WriteFile(first, []byte(d.admin+"\n"), 0o600); err != nil {
		return fmt.Errorf("write first password: %w", err)
	}
	defer os.Remove(first)
	for _, c := range [][]string{
		{"chown", "-R", "postgres:postgres", d.dir},
		{"setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", filepath.Join(d.bin, "initdb"), "-D", d.data(),
			"--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", "--pwfile=" + first, "--no-sync"},
	} {
		cmd := exec.CommandContext(ctx, c[0], c[1:]...)
		cmd.Dir = "/"
		if _, err := said(cmd); err != nil {
			return err
		}
	}
	return nil
}

func (d *Database) configure(context.Context) error {
	if err := d.certify(); err != nil {
		return err
	}
	conf, err := os.OpenFile(filepath.Join(d.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("configure PostgreSQL: %w", err)
	}
	defer conf.Close()
	_, err = fmt.Fprintf(conf, "\nlisten_addresses = '%s'\nunix_socket_directories = ''\nssl = on\nmax_connections = 100\nshared_buffers = 32MB\n"+
		"fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nlog_min_error_statement = panic\n", d.net.addr(atDatabase))
	if err != nil {
		return fmt.Errorf("configure PostgreSQL: %w", err)
	}
	const admit = "hostssl all all 0.0.0.0/0 scram-sha-256\n"
	return os.WriteFile(filepath.Join(d.data(), "pg_hba.conf"), []byte(admit), 0o600)
}

// certify makes a certificate for the database's address, signed by itself.
func (d *Database) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "db"}, IPAddresses: []net.IP{net.ParseIP(d.net.addr(atDatabase))},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	return errors.Join(
		os.WriteFile(d.certificate(), public, 0o644),
		os.WriteFile(filepath.Join(d.data(), "server.crt"), public, 0o644),
		os.WriteFile(filepath.Join(d.data(), "server.key"), secret, 0o600),
		exec.Command("chown", "-R", "postgres:postgres", d.data()).Run(),
	)
}

// Start starts the server and waits until it answers.
func (d *Database) Start(ctx context.Context) error {
	if d.server != nil {
		return nil
	}
	log, err := os.OpenFile(filepath.Join(d.dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	defer log.Close()
	cmd := exec.Command("nsenter", "--net="+d.net.path(atDatabase), "--", "setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups",
		filepath.Join(d.bin, "postgres"), "-D", d.data())
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.Env = append(os.Environ(), d.mark)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	d.server = cmd
	return await("PostgreSQL", 30*time.Second, func() error {
		conn, err := pgx.Connect(ctx, d.fromHere("postgres"))
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}

// Stop ends the server at once, as a power cut would.
func (d *Database) Stop() error {
	if d.server == nil {
		return nil
	}
	if err := d.server.Process.Signal(syscall.SIGQUIT); err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	_ = d.server.Wait() // it says 2 after SIGQUIT
	d.server = nil
	return nil
}

// template makes the role and a database with CIDX's schema, from which Reset copies.
func (d *Database) template(ctx context.Context) error {
	for _, s := range []string{
		"CREATE ROLE cidx LOGIN PASSWORD '" + d.Password + "'",
		"CREATE DATABASE cidx_empty OWNER cidx TEMPLATE template0 STRATEGY file_copy",
	} {
		if err := d.admit(ctx, s); err != nil {
			return err
		}
	}
	if err := seed.ApplySchema(ctx, d.dsn("cidx", d.Password, "cidx_empty", d.certificate()), false); err != nil {
		return fmt.Errorf("make schema: %w", err)
	}
	return d.Reset(ctx)
}

// Reset gives back the empty database, whatever was in it.
func (d *Database) Reset(ctx context.Context) error {
	if err := d.Start(ctx); err != nil {
		return err
	}
	for _, s := range []string{
		"DROP DATABASE IF EXISTS cidx WITH (FORCE)",
		"CREATE DATABASE cidx OWNER cidx TEMPLATE cidx_empty STRATEGY file_copy",
	} {
		if err := d.admit(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (d *Database) admit(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, d.fromHere("postgres"))
	if err != nil {
		return fmt.Errorf("connect to the lab's PostgreSQL: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("prepare PostgreSQL: %w", err)
	}
	return nil
}

// Query returns the first column of the first row as text.
func (d *Database) Query(ctx context.Context, statement string) (string, error) {
	conn, err := pgx.Connect(ctx, d.fromHere("cidx"))
	if err != nil {
		return "", fmt.Errorf("connect to the lab's PostgreSQL: %w", err)
	}
	defer conn.Close(ctx)
	var text *string
	if err := conn.QueryRow(ctx, statement).Scan(&text); err != nil {
		return "", fmt.Errorf("query: %w", err)
	}
	if text == nil {
		return "", nil
	}
	return *text, nil
}

func password() string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // it never fails
	return "Pw-" + hex.EncodeToString(b)
}
