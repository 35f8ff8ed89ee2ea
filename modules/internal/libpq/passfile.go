package libpq

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"strings"

	"cidx-cluster/modules/internal/regular"
)

// DefaultSocket is the folder of sockets that Debian's and psycopg's libpq use;
// servers built from source use /tmp.
func DefaultSocket() string {
	const debian = "/var/run/postgresql"
	if _, err := os.Stat(debian); err == nil {
		return debian
	}
	return "/tmp"
}

// Password is the password for a target: the one given, else the first line of
// the password file that fits; "" for none. ignored says why the file was not
// used, as libpq does not, where others may read it.
func (s Settings) Password(t Target) (password, ignored string) {
	if s["password"] != "" || s["passfile"] == "" {
		return s["password"], ""
	}
	info, err := os.Stat(s["passfile"])
	if err != nil {
		return "", ""
	}
	switch {
	case !info.Mode().IsRegular():
		return "", "it is no plain file"
	case info.Mode().Perm()&0o077 != 0:
		return "", "its mode lets others read it (chmod 0600)"
	}
	raw, err := regular.Read(s["passfile"])
	if err != nil {
		return "", err.Error()
	}
	want := []string{t.passHost(), strconv.Itoa(int(t.Port)), cmp.Or(s["dbname"], s["user"]), s["user"]}
	for line := range strings.Lines(string(raw)) {
		fields := passFields(strings.TrimRight(line, "\r\n"))
		fits := func(w, field string) bool { return field == "*" || field == w }
		if !strings.HasPrefix(line, "#") && len(fields) > len(want) && fields[len(want)] != "" &&
			slices.EqualFunc(want, fields[:len(want)], fits) {
			return fields[len(want)], ""
		}
	}
	return "", ""
}

// passHost is how the password file spells the host.
func (t Target) passHost() string {
	switch {
	case t.Host == "" && t.Address != "":
		return t.Address
	case t.Host == "" || t.Host == DefaultSocket():
		return "localhost"
	}
	return t.Host
}

// passFields splits host:port:database:user:password, where \ takes the next
// character as it is.
func passFields(line string) []string {
	fields := []string{""}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == ':':
			fields = append(fields, "")
			continue
		case c == '\\' && i+1 < len(line):
			i++
		}
		fields[len(fields)-1] += line[i : i+1]
	}
	return fields
}
