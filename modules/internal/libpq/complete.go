package libpq

import (
	"bufio"
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// system is where Debian's and the source's libpq look for services of everybody.
var system = []string{"/etc/postgresql-common/pg_service.conf", "/etc/pg_service.conf", "/etc/sysconfig/pgsql/pg_service.conf"}

// Complete returns s with what its service, the environment of this process and
// libpq's defaults add, in this order of precedence. Set are user, the default
// files that exist (password, certificates), and service with the servicefile
// that holds it. The error is a *Fault.
func (s Settings) Complete() (Settings, error) {
	full := Settings{}
	maps.Copy(full, s)
	if err := full.service(); err != nil {
		return nil, err
	}
	for name, variable := range parameters {
		if variable == "" || name == "requiressl" {
			continue
		}
		if value, set := os.LookupEnv(variable); set && value != "" {
			full.add(name, value)
		}
	}
	if full["user"] == "" {
		if u, err := user.Current(); err == nil {
			full["user"] = u.Username
		}
	}
	full.files()
	return full, full.check()
}

// add sets a parameter that was not given.
func (s Settings) add(name, value string) {
	if _, given := s[name]; !given {
		s[name] = value
	}
}

// home is a file below the user's folder, "" where it is not there.
func home(path ...string) string {
	folder, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	file := filepath.Join(append([]string{folder}, path...)...)
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}

// files adds the default files; one that is named and missing is treated as
// libpq does: a certificate of ours is not sent, a root certificate is needed
// only by sslmode verify-ca and verify-full.
func (s Settings) files() {
	for name, file := range map[string]string{"sslcert": "postgresql.crt", "sslkey": "postgresql.key",
		"sslrootcert": "root.crt", "sslcrl": "root.crl"} {
		if s[name] == "" && (name != "sslcrl" || s["sslcrldir"] == "") {
			s[name] = home(".postgresql", file)
		}
	}
	if missing(s["sslcert"]) {
		s["sslcert"], s["sslkey"] = "", ""
	}
	if s["sslcert"] == "" {
		s["sslkey"] = ""
	}
	if s["sslrootcert"] != "system" && missing(s["sslrootcert"]) && !strings.HasPrefix(s["sslmode"], "verify-") {
		s["sslrootcert"] = ""
	}
	if missing(s["sslcrl"]) {
		s["sslcrl"] = ""
	}
	if s["passfile"] == "" {
		s["passfile"] = home(".pgpass")
	}
}

func missing(path string) bool {
	if path == "" {
		return false
	}
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// service adds the parameters of the service that is named, if one is.
func (s Settings) service() error {
	name := cmp.Or(s["service"], os.Getenv("PGSERVICE"))
	if name == "" {
		return nil
	}
	own := cmp.Or(s["servicefile"], os.Getenv("PGSERVICEFILE"), home(".pg_service.conf"), "~/.pg_service.conf") // which is not there
	files := []string{own}
	if dir := os.Getenv("PGSYSCONFDIR"); dir != "" {
		files = append(files, filepath.Join(dir, "pg_service.conf"))
	} else {
		files = append(files, system...)
	}
	for _, file := range files {
		found, err := s.serviceIn(file, name)
		if err != nil {
			return err
		}
		if found {
			s["service"], s["servicefile"] = name, file
			return nil
		}
	}
	return &Fault{Parameter: "service", Reason: "no service of that name in " + strings.Join(files, ", ") + " (see PGSERVICEFILE)"}
}

// serviceIn adds the parameters of one service of one file.
func (s Settings) serviceIn(file, name string) (found bool, err error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, &Fault{Parameter: "service", Reason: err.Error()}
	}
	defer f.Close()
	scan := bufio.NewScanner(f)
	for scan.Scan() {
		line := strings.TrimSpace(scan.Text())
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[' && found:
			return true, nil
		case line[0] == '[':
			found = strings.HasPrefix(line[1:], name+"]")
		case found:
			if err := s.serviceLine(file, line); err != nil {
				return false, err
			}
		}
	}
	if err := scan.Err(); err != nil {
		return false, &Fault{Parameter: "service", Reason: err.Error()}
	}
	return found, nil
}

func (s Settings) serviceLine(file, line string) error {
	name, value, ok := strings.Cut(line, "=")
	if _, known := parameters[name]; !ok || !known || name == "service" || name == "servicefile" {
		return &Fault{Parameter: "service", Reason: file +
			": a line of the service is not a parameter that PostgreSQL's client library knows: " + printable(name)}
	}
	s.add(name, value)
	return nil
}
