package schema

import (
	"errors"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
)

// libpqOnly are connection parameters of libpq, which psycopg hands on, that pgx would send to the server as settings. They
// say how a connection is watched or protected, not where it leads.
var libpqOnly = []string{
	"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "gssencmode", "gsslib",
	"gssdelegation", "krbsrvname", "channel_binding", "sslcompression", "sslcertmode", "sslcrl", "sslcrldir", "sslsni",
	"ssl_min_protocol_version", "ssl_max_protocol_version", "min_protocol_version", "max_protocol_version", "requirepeer",
	"require_auth", "load_balance_hosts", "fallback_application_name", "replication", "client_encoding", "hostaddr",
}

var errDSN = errors.New("read postgres_dsn: not a PostgreSQL connection string")

// parseDSN takes what psycopg takes: a URI or keyword=value pairs, sockets, several hosts, hostaddr, service files, every
// parameter of libpq. No error holds the connection string.
func parseDSN(dsn string) (*pgx.ConnConfig, error) {
	words, err := keywords(dsn)
	if err != nil {
		return nil, errDSN
	}
	cfg, err := pgx.ParseConfig(words)
	if err != nil {
		return nil, errDSN
	}
	if at := cfg.RuntimeParams["hostaddr"]; at != "" {
		if cfg, err = throughAddress(cfg, words, at); err != nil {
			return nil, errDSN
		}
	}
	for _, name := range libpqOnly {
		delete(cfg.RuntimeParams, name)
	}
	return cfg, nil
}

// throughAddress connects to hostaddr and keeps the host's name for TLS.
func throughAddress(named *pgx.ConnConfig, words, at string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(words + " host=" + quoted(at))
	if err != nil {
		return nil, err
	}
	if cfg.TLSConfig != nil && named.TLSConfig != nil {
		cfg.TLSConfig.ServerName = named.TLSConfig.ServerName
	}
	for i, f := range cfg.Fallbacks {
		if f.TLSConfig != nil && i < len(named.Fallbacks) && named.Fallbacks[i].TLSConfig != nil {
			f.TLSConfig.ServerName = named.Fallbacks[i].TLSConfig.ServerName
		}
	}
	return cfg, nil
}

// keywords spells a URI as keyword=value pairs; pairs stay as they are. A host of a URI may be a percent-encoded folder
// of a socket, which net/url refuses.
func keywords(dsn string) (string, error) {
	scheme, rest, isURI := strings.Cut(dsn, "://")
	if !isURI || scheme != "postgres" && scheme != "postgresql" {
		return dsn, nil
	}
	rest, query, _ := strings.Cut(rest, "?")
	place, database, _ := strings.Cut(rest, "/")
	var pairs []string
	add := func(key, value string) error {
		text, err := url.PathUnescape(value)
		if text != "" {
			pairs = append(pairs, key+"="+quoted(text))
		}
		return err
	}
	var errs []error
	if at := strings.LastIndexByte(place, '@'); at >= 0 {
		user, password, _ := strings.Cut(place[:at], ":")
		errs, place = append(errs, add("user", user), add("password", password)), place[at+1:]
	}
	hosts, ports := splitPlaces(place)
	errs = append(errs, add("host", hosts), add("port", ports), add("dbname", database))
	for _, pair := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' }) {
		key, value, _ := strings.Cut(pair, "=")
		errs = append(errs, add(key, value))
	}
	return strings.Join(pairs, " "), errors.Join(errs...)
}

// splitPlaces turns "a:1,[::1]:2" into "a,::1" and "1,2"; without any port that list is empty.
func splitPlaces(places string) (hosts, ports string) {
	var names, numbers []string
	any := false
	for _, place := range strings.Split(places, ",") {
		host, port, _ := cutPort(place)
		names, numbers, any = append(names, host), append(numbers, port), any || port != ""
	}
	if !any {
		return strings.Join(names, ","), ""
	}
	for i := range numbers {
		if numbers[i] == "" {
			numbers[i] = "5432"
		}
	}
	return strings.Join(names, ","), strings.Join(numbers, ",")
}

func cutPort(place string) (host, port string, found bool) {
	if inner, after, ok := strings.Cut(strings.TrimPrefix(place, "["), "]"); ok && strings.HasPrefix(place, "[") {
		return inner, strings.TrimPrefix(after, ":"), true
	}
	return strings.Cut(place, ":")
}

func quoted(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}
