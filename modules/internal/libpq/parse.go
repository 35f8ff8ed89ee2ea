package libpq

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Parse reads a connection string without looking at anything else. The error
// is a *Fault.
func Parse(dsn string) (Settings, error) {
	if strings.ContainsRune(dsn, 0) {
		return nil, &Fault{Reason: "it holds a NUL byte"}
	}
	s := Settings{}
	rest, isURI := strings.CutPrefix(dsn, "postgresql://")
	if !isURI {
		rest, isURI = strings.CutPrefix(dsn, "postgres://")
	}
	var err error
	if isURI {
		err = s.uri(rest)
	} else {
		err = s.keywords(dsn)
	}
	if err != nil {
		return nil, err
	}
	return s, s.check()
}

// set stores a parameter, if libpq knows it.
func (s Settings) set(name, value string) error {
	if _, known := parameters[name]; !known {
		return &Fault{Parameter: printable(name), Reason: "PostgreSQL's client library knows no such parameter"}
	}
	s[name] = value
	return nil
}

// printable keeps a name that is none (a piece of a password, say) out of
// messages.
func printable(name string) string {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && c != '.' && (c < '0' || c > '9') {
			return "a name that is not one"
		}
	}
	return name
}

// keywords reads keyword = value pairs; values may be quoted with ', and \ takes
// the next character as it is.
func (s Settings) keywords(text string) error {
	const space = " \t\n\r\v\f"
	for text = strings.TrimLeft(text, space); text != ""; text = strings.TrimLeft(text, space) {
		end := strings.IndexAny(text, "="+space)
		if end < 0 {
			return &Fault{Reason: `neither a URI nor a list of keyword=value: a "=" is missing`}
		}
		name, after := text[:end], strings.TrimLeft(text[end:], space)
		if !strings.HasPrefix(after, "=") || name == "" {
			return &Fault{Reason: `neither a URI nor a list of keyword=value: a "=" is missing`}
		}
		value, rest, ok := keywordValue(strings.TrimLeft(after[1:], space))
		if !ok {
			return &Fault{Parameter: printable(name), Reason: "its quoted value has no end"}
		}
		if err := s.set(name, value); err != nil {
			return err
		}
		text = rest
	}
	return nil
}

// keywordValue cuts one value off; ok is false where a quote is not closed.
func keywordValue(text string) (value, rest string, ok bool) {
	quoted := strings.HasPrefix(text, "'")
	if quoted {
		text = text[1:]
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			if i++; i < len(text) {
				b.WriteByte(text[i])
			}
		case quoted && c == '\'', !quoted && strings.IndexByte(" \t\n\r\v\f", c) >= 0:
			return b.String(), text[i+1:], true
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", !quoted
}

// check looks at values that libpq refuses.
func (s Settings) check() error {
	for name, allowed := range choices {
		if v, given := s[name]; given && !slices.Contains(allowed, v) && (v != "" || !strings.HasPrefix(name, "ssl_")) {
			return &Fault{Parameter: name, Reason: "its value is none of " + strings.Join(allowed, ", ")}
		}
	}
	for _, name := range numbers {
		if v := strings.TrimSpace(s[name]); v != "" {
			if _, err := strconv.ParseInt(v, 10, 32); err != nil {
				return &Fault{Parameter: name, Reason: "its value is no whole number"}
			}
		}
	}
	_, err := s.Targets()
	return err
}

// Target is one server to try.
type Target struct {
	Host    string // name, address, or folder of a socket; "" means the default socket
	Address string // hostaddr: where to connect to instead of looking Host up; "" for none
	Port    uint16
}

// Socket reports whether the target is a Unix socket.
func (t Target) Socket() bool {
	return t.Address == "" && (t.Host == "" || t.Host[0] == '/' || t.Host[0] == '@')
}

// Name is what messages call it, e.g. "db1:5432" or "/run/postgresql:5432".
func (t Target) Name() string {
	host := cmp.Or(t.Host, t.Address)
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("%s:%d", host, t.Port)
}

// Targets are the servers in the order in which libpq tries them, at least one.
// The error is a *Fault.
func (s Settings) Targets() ([]Target, error) {
	hosts, addresses, ports := strings.Split(s["host"], ","), strings.Split(s["hostaddr"], ","), strings.Split(s["port"], ",")
	n := len(hosts)
	if s["hostaddr"] != "" {
		if n = len(addresses); s["host"] != "" && len(hosts) != n {
			return nil, &Fault{Parameter: "hostaddr", Reason: fmt.Sprintf("%d addresses for %d hosts", n, len(hosts))}
		}
	}
	if len(ports) != 1 && len(ports) != n {
		return nil, &Fault{Parameter: "port", Reason: fmt.Sprintf("%d ports for %d hosts", len(ports), n)}
	}
	list := make([]Target, n)
	for i := range list {
		port := ports[min(i, len(ports)-1)]
		number, err := strconv.ParseUint(strings.TrimSpace(port), 10, 16)
		if port == "" {
			number, err = 5432, nil
		}
		if err != nil || number == 0 {
			return nil, &Fault{Parameter: "port", Reason: "not a number from 1 to 65535"}
		}
		list[i] = Target{Host: at(hosts, i), Address: at(addresses, i), Port: uint16(number)}
	}
	return list, nil
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}
