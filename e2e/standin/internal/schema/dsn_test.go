package schema

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// all are parameters of libpq that psycopg accepts and that do not change where a connection leads.
const all = "keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=3&tcp_user_timeout=1000&gssencmode=disable&channel_binding=prefer" +
	"&sslcompression=0&sslsni=1&ssl_min_protocol_version=TLSv1.2&requirepeer=x&require_auth=scram-sha-256&load_balance_hosts=disable&client_encoding=auto&replication=off" +
	"&fallback_application_name=x&target_session_attrs=read-write&connect_timeout=5&sslmode=disable"

func TestEveryConnectionStringOfPsycopg(t *testing.T) {
	dir := t.TempDir()
	service := filepath.Join(dir, "services")
	if err := os.WriteFile(service, []byte("[cidx]\nhost=db.example\nport=6432\ndbname=cidx\nuser=u\nkeepalives=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ dsn, want string }{
		"a URI":                        {"postgresql://u:p%40w@db:5433/cidx", "db:5433 u p@w cidx"},
		"a URI without a port":         {"postgres://u:p@db/cidx", "db:5432 u p cidx"},
		"pairs":                        {`host=db port=5433 user=u password='p\'w' dbname=cidx`, "db:5433 u p'w cidx"},
		"all parameters in a URI":      {"postgresql://u:p@db:5433/cidx?" + all, "db:5433 u p cidx"},
		"all parameters in pairs":      {"host=db port=5433 user=u password=p dbname=cidx " + strings.ReplaceAll(all, "&", " "), "db:5433 u p cidx"},
		"a socket in the host":         {"postgresql://u:p@%2Frun%2Fpostgresql:5433/cidx", "/run/postgresql:5433 u p cidx"},
		"a socket as a parameter":      {"postgresql:///cidx?host=/run/postgresql&user=u&password=p", "/run/postgresql:5432 u p cidx"},
		"several hosts":                {"postgresql://u:p@a:1,[::1]:2/cidx", "a:1 u p cidx, ::1:2"},
		"several hosts, one with port": {"postgresql://u:p@a,b:2/cidx", "a:5432 u p cidx, b:2"},
		"several hosts in pairs":       {"host=a,b port=1,2 user=u password=p dbname=cidx", "a:1 u p cidx, b:2"},
		"an address beside the name":   {"postgresql://u:p@db:5433/cidx?hostaddr=192.0.2.7", "192.0.2.7:5433 u p cidx"},
		"an address alone":             {"hostaddr=192.0.2.7 user=u password=p dbname=cidx", "192.0.2.7:5432 u p cidx"},
		"a service":                    {"service=cidx servicefile=" + service + " password=p", "db.example:6432 u p cidx"},
		"a service in a URI":           {"postgresql://?service=cidx&servicefile=" + service + "&password=p", "db.example:6432 u p cidx"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := parseDSN(c.dsn)
			if err != nil {
				t.Fatal(err)
			}
			got := cfg.Host + ":" + itoa(cfg.Port) + " " + cfg.User + " " + cfg.Password + " " + cfg.Database
			last := cfg.Host
			for _, f := range cfg.Fallbacks {
				if f.Host != last {
					got, last = got+", "+f.Host+":"+itoa(f.Port), f.Host
				}
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if len(cfg.RuntimeParams) > 0 {
				t.Errorf("sent to the server: %v", cfg.RuntimeParams)
			}
		})
	}
}

func TestNoErrorShowsTheConnectionString(t *testing.T) {
	for _, dsn := range []string{"host=db port=sekret", "postgresql://u:sekret@db:port/x", "postgresql://u:%zzsekret@db/x"} {
		if _, err := parseDSN(dsn); err == nil || strings.Contains(err.Error(), "sekret") {
			t.Errorf("%v", err)
		}
	}
}

func itoa(port uint16) string { return strconv.Itoa(int(port)) }
