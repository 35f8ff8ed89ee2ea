package libpq

import (
	"cmp"
	"os"
	"strconv"
	"strings"
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
	raw, err := os.ReadFile(s["passfile"])
	if err != nil {
		return "", err.Error()
	}
	want := []string{t.passHost(), strconv.Itoa(int(t.Port)), cmp.Or(s["dbname"], s["user"]), s["user"]}
	for line := range strings.Lines(string(raw)) {
		if password, ok := fits(strings.TrimRight(line, "\r\n"), want); ok {
			return password, ""
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

// fits splits host:port:database:user:password, where \ keeps : and \, and * is
// everything.
func fits(line string, want []string) (password string, ok bool) {
	if strings.HasPrefix(line, "#") {
		return "", false
	}
	for _, w := range want {
		field, rest, found := passField(line)
		if !found || (field != "*" && field != w) {
			return "", false
		}
		line = rest
	}
	password, _, _ = passField(line)
	return password, password != ""
}

// passField cuts off the text before the next colon; found is false where there
// is none.
func passField(line string) (field, rest string, found bool) {
	var b strings.Builder
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line):
			i++
			b.WriteByte(line[i])
		case c == ':':
			return b.String(), line[i+1:], true
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", false
}
