package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/libpq"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/secret"
)

// connectTimeout bounds one attempt, where the connection string does not.
const connectTimeout = 10 * time.Second

// passed are the parameters that pgconn reads and means as libpq does. All of
// them are given to it, so that it looks for none in the environment.
var passed = []string{
	"user", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslsni", "sslnegotiation",
	"channel_binding", "require_auth", "krbsrvname", "min_protocol_version", "max_protocol_version",
}

// accept says which servers target_session_attrs takes.
var accept = map[string]pgconn.ValidateConnectFunc{
	"read-write": pgconn.ValidateConnectTargetSessionAttrsReadWrite,
	"read-only":  pgconn.ValidateConnectTargetSessionAttrsReadOnly,
	"primary":    pgconn.ValidateConnectTargetSessionAttrsPrimary,
	"standby":    pgconn.ValidateConnectTargetSessionAttrsStandby,
}

// dial connects to the first target that target_session_attrs accepts. Like
// psycopg, and other than libpq, it goes on to the next one whatever the fault.
func dial(ctx context.Context, s libpq.Settings, application string) (*pgconn.PgConn, error) {
	if err := unable(s); err != nil {
		return nil, err
	}
	targets, err := s.Targets()
	if err != nil {
		return nil, refused(err)
	}
	rounds := []string{s["target_session_attrs"]}
	if rounds[0] == "prefer-standby" {
		rounds = []string{"standby", "any"}
	}
	var faults []error
	for _, wanted := range rounds {
		faults = nil
		for _, t := range targets {
			config, err := configure(ctx, s, t)
			if err != nil {
				return nil, err
			}
			config.ValidateConnect = accept[wanted]
			config.RuntimeParams["application_name"] = application
			conn, err := pgconn.ConnectConfig(ctx, config)
			if err == nil {
				return conn, nil
			}
			faults = append(faults, unreachable(err, s, t))
		}
	}
	return nil, together(faults, s, targets)
}

// unable names what this client cannot do, where the connection string insists.
func unable(s libpq.Settings) error {
	if s["gssencmode"] == "require" {
		return problem.Problem{What: "gssencmode=require: this program cannot encrypt with GSSAPI", At: "postgres_dsn",
			Fix: "set cidx_postgres_dsn to the same database with gssencmode=disable and sslmode=require for the migration"}
	}
	if r := s["replication"]; r != "" && r != "0" && r != "false" && r != "off" && r != "no" {
		return problem.Problem{What: "replication: CIDX cannot work over a replication connection", At: "postgres_dsn",
			Fix: "remove replication from postgres_dsn"}
	}
	return nil
}

// unreachable explains a failed attempt.
func unreachable(err error, s libpq.Settings, t libpq.Target) error {
	_, ignored := s.Password(t)
	if ignored != "" && s["password"] == "" {
		return problem.Problem{What: "no password: " + cause(err), At: s["passfile"], Fix: "the password file is not used: " + ignored}
	}
	return Explain(err, where(s))
}

// together is one problem for all targets.
func together(faults []error, s libpq.Settings, targets []libpq.Target) error {
	if len(faults) == 1 {
		return faults[0]
	}
	var said []string
	var fix string
	for i, err := range faults {
		p := problem.Problem{What: cause(err), Fix: fix}
		errors.As(err, &p)
		said, fix = append(said, targets[i].Name()+": "+p.What), p.Fix
	}
	return problem.Problem{What: fmt.Sprintf("none of %d servers can be used: %s", len(targets), strings.Join(said, "; ")),
		At: where(s), Fix: fix}
}

// configure is pgconn's configuration for one target.
func configure(ctx context.Context, s libpq.Settings, t libpq.Target) (*pgconn.Config, error) {
	if err := roots(s, t); err != nil {
		return nil, err
	}
	password, _ := s.Password(t)
	secret.Keep(ctx, password)
	config, err := pgconn.ParseConfig(spelled(s, t, password))
	if err != nil {
		return nil, problem.Problem{What: "not a PostgreSQL connection string: " + cause(err), At: "postgres_dsn",
			Fix: "correct the certificates and the other parameters in postgres_dsn"}
	}
	config.RuntimeParams = map[string]string{}
	if o := s["options"]; o != "" {
		config.RuntimeParams["options"] = o
	}
	config.ConnectTimeout = connectTimeout
	if seconds := number(s, "connect_timeout"); seconds > 0 {
		config.ConnectTimeout = time.Duration(max(2, seconds)) * time.Second // libpq takes 1 for 2
	}
	config.DialFunc = dialer(s, t)
	if t.Address != "" { // certificates are still compared with the host's name
		config.Host = t.Address
		for _, f := range config.Fallbacks {
			f.Host = t.Address
		}
	}
	if peer := s["requirepeer"]; peer != "" && t.Socket() {
		config.AfterNetConnect = requirePeer(peer)
	}
	return config, secure(config, s)
}

// spelled is a connection string that pgconn understands.
func spelled(s libpq.Settings, t libpq.Target, password string) string {
	var b strings.Builder
	put := func(name, value string) {
		b.WriteString(name + "='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "' ")
	}
	for _, name := range passed {
		if name != "user" || s[name] != "" {
			put(name, s[name])
		}
	}
	host := t.Host
	switch {
	case t.Address != "" && (host == "" || t.Host[0] == '/' || t.Host[0] == '@'):
		host = t.Address
	case host == "":
		host = libpq.DefaultSocket()
	case host[0] == '@':
		host = "/" + host // an abstract socket; dialer knows its name
	}
	put("host", host)
	put("port", strconv.Itoa(int(t.Port)))
	put("password", password)
	put("passfile", "")
	put("target_session_attrs", "any")
	put("sslcertmode", cmp.Or(s["sslcertmode"], "allow"))
	if s["service"] != "" { // or pgconn looks for $PGSERVICE in one file only
		put("service", s["service"])
		put("servicefile", s["servicefile"])
	}
	return b.String()
}

// number is a parameter that libpq.Parse has checked to be one.
func number(s libpq.Settings, name string) int {
	n, _ := strconv.Atoi(strings.TrimSpace(s[name]))
	return n
}

// dialer opens connections with the keep-alives that s asks for.
func dialer(s libpq.Settings, t libpq.Target) pgconn.DialFunc {
	d := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable:   strings.TrimSpace(s["keepalives"]) != "0",
		Idle:     time.Duration(number(s, "keepalives_idle")) * time.Second,
		Interval: time.Duration(number(s, "keepalives_interval")) * time.Second,
		Count:    number(s, "keepalives_count"),
	}}
	if !d.KeepAliveConfig.Enable {
		d.KeepAlive = -1
	}
	if limit := number(s, "tcp_user_timeout"); limit > 0 {
		d.Control = func(network, _ string, raw syscall.RawConn) error {
			if !strings.HasPrefix(network, "tcp") {
				return nil
			}
			var err error
			if fault := raw.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, limit)
			}); fault != nil {
				return fault
			}
			return err
		}
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if network == "unix" && strings.HasPrefix(t.Host, "@") {
			address = strings.TrimPrefix(address, "/")
		}
		return d.DialContext(ctx, network, address)
	}
}

// requirePeer makes sure that the server behind a socket is run by a user.
func requirePeer(name string) func(context.Context, *pgconn.Config, net.Conn) (net.Conn, error) {
	return func(_ context.Context, _ *pgconn.Config, conn net.Conn) (net.Conn, error) {
		socket, ok := conn.(*net.UnixConn)
		if !ok {
			return conn, nil
		}
		raw, err := socket.SyscallConn()
		if err != nil {
			return conn, err
		}
		var peer *unix.Ucred
		var asked error
		err = raw.Control(func(fd uintptr) { peer, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
		if err = cmp.Or(err, asked); err != nil {
			return conn, err
		}
		u, err := user.LookupId(strconv.Itoa(int(peer.Uid)))
		if err != nil || u.Username != name {
			return conn, fmt.Errorf("requirepeer: the server runs as user id %d, not as %q", peer.Uid, name)
		}
		return conn, nil
	}
}
