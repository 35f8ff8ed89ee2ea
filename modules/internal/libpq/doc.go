// Package libpq reads connection strings as PostgreSQL's client library does,
// which CIDX uses by way of psycopg: URIs and keyword=value strings, services,
// password files and the environment. It opens no connection and writes nothing.
//
// Sources: PostgreSQL 18, "libpq - C Library", 32.1 to 32.17, and fe-connect.c.
package libpq

// Settings are the parameters of a connection by libpq's names (dbname, not
// database). A key that is absent was not given; an empty value was given empty.
type Settings map[string]string

// Fault is why a connection string cannot be used. No field ever holds a value
// of the string.
type Fault struct {
	Parameter string // e.g. "target_session_attrs"; "" where none can be named
	Reason    string
}

// Error names the parameter and the reason.
func (f *Fault) Error() string {
	if f.Parameter == "" {
		return f.Reason
	}
	return f.Parameter + ": " + f.Reason
}

// parameters are all that libpq 18 knows, with the environment variable that
// stands in for each.
var parameters = map[string]string{
	"service": "PGSERVICE", "servicefile": "PGSERVICEFILE",
	"host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER",
	"password": "PGPASSWORD", "passfile": "PGPASSFILE", "options": "PGOPTIONS", "application_name": "PGAPPNAME",
	"fallback_application_name": "", "client_encoding": "PGCLIENTENCODING", "connect_timeout": "PGCONNECT_TIMEOUT",
	"target_session_attrs": "PGTARGETSESSIONATTRS", "load_balance_hosts": "PGLOADBALANCEHOSTS", "replication": "",
	"keepalives": "", "keepalives_idle": "", "keepalives_interval": "", "keepalives_count": "", "tcp_user_timeout": "",
	"channel_binding": "PGCHANNELBINDING", "require_auth": "PGREQUIREAUTH", "requirepeer": "PGREQUIREPEER",
	"min_protocol_version": "PGMINPROTOCOLVERSION", "max_protocol_version": "PGMAXPROTOCOLVERSION",
	"sslmode": "PGSSLMODE", "sslnegotiation": "PGSSLNEGOTIATION", "sslcompression": "PGSSLCOMPRESSION", "sslcert": "PGSSLCERT",
	"sslkey": "PGSSLKEY", "sslpassword": "", "sslcertmode": "PGSSLCERTMODE", "sslrootcert": "PGSSLROOTCERT", "sslcrl": "PGSSLCRL",
	"sslcrldir": "PGSSLCRLDIR", "sslsni": "PGSSLSNI", "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
	"ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION", "sslkeylogfile": "",
	"gssencmode": "PGGSSENCMODE", "krbsrvname": "PGKRBSRVNAME", "gsslib": "PGGSSLIB", "gssdelegation": "PGGSSDELEGATION",
	"scram_client_key": "", "scram_server_key": "", "oauth_issuer": "", "oauth_client_id": "", "oauth_client_secret": "", "oauth_scope": "",
	"requiressl": "PGREQUIRESSL", "authtype": "", "tty": "", // of older releases, which still take them
}

// choices are the values of the parameters that have a list of them; only
// versions of TLS may be given empty.
var choices = map[string][]string{
	"target_session_attrs": {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"},
	"sslmode":              {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
	"gssencmode":           {"disable", "prefer", "require"},
	"channel_binding":      {"disable", "prefer", "require"},
	"load_balance_hosts":   {"disable", "random"},
	"sslcertmode":          {"disable", "allow", "require"},
	"sslnegotiation":       {"postgres", "direct"},
	"sslsni":               {"0", "1"},

	"ssl_min_protocol_version": {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"},
	"ssl_max_protocol_version": {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"},
}

// numbers are the parameters that have to be whole numbers.
var numbers = []string{"connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"}
