package libpq

import (
	"net/url"
	"strings"
)

// uri reads what follows the scheme:
// [user[:password]@][host[:port][,…]][/dbname][?name=value[&…]]
func (s Settings) uri(text string) error {
	if i := strings.IndexAny(text, "@/"); i >= 0 && text[i] == '@' {
		user, password, _ := strings.Cut(text[:i], ":")
		if err := s.decoded("user", user); err != nil {
			return err
		}
		if err := s.decoded("password", password); err != nil {
			return err
		}
		text = text[i+1:]
	}
	text, err := s.hosts(text)
	if err != nil {
		return err
	}
	text, query, _ := strings.Cut(text, "?")
	if err := s.decoded("dbname", strings.TrimPrefix(text, "/")); err != nil {
		return err
	}
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		if err := s.query(part); err != nil {
			return err
		}
	}
	return nil
}

// decoded stores a part of a URI; an empty one counts as not given.
func (s Settings) decoded(name, text string) error {
	value, err := decode(name, text)
	if err == nil && value != "" {
		s[name] = value
	}
	return err
}

// hosts reads the list of hosts and ports and returns what follows it.
func (s Settings) hosts(text string) (rest string, err error) {
	var hosts, ports []string
	for {
		host, port := "", ""
		if strings.HasPrefix(text, "[") {
			end := strings.IndexByte(text, ']')
			if end < 0 {
				return "", &Fault{Parameter: "host", Reason: `an IPv6 address has no closing "]"`}
			}
			host, text = text[1:end], text[end+1:]
		} else {
			end := cut(text, ":/?,")
			host, text = text[:end], text[end:]
		}
		if strings.HasPrefix(text, ":") {
			end := cut(text, "/?,")
			port, text = text[1:end], text[end:]
		}
		hosts, ports = append(hosts, host), append(ports, port)
		if !strings.HasPrefix(text, ",") {
			break
		}
		text = text[1:]
	}
	if text != "" && text[0] != '/' && text[0] != '?' {
		return "", &Fault{Parameter: "host", Reason: "something stands between an IPv6 address and what follows it"}
	}
	if err := s.decoded("host", strings.Join(hosts, ",")); err != nil {
		return "", err
	}
	if strings.Join(ports, "") == "" {
		return text, nil
	}
	return text, s.decoded("port", strings.Join(ports, ","))
}

// cut is the index of the first of chars in text, or text's end.
func cut(text, chars string) int {
	if i := strings.IndexAny(text, chars); i >= 0 {
		return i
	}
	return len(text)
}

func (s Settings) query(part string) error {
	name, value, ok := strings.Cut(part, "=")
	if !ok {
		return &Fault{Parameter: printable(name), Reason: `a "=" is missing in the URI's query`}
	}
	name, err := decode("a name", name)
	if err != nil {
		return err
	}
	if strings.Contains(value, "=") {
		return &Fault{Parameter: printable(name), Reason: `its value holds a "=" that is not written as %3D`}
	}
	if value, err = decode(name, value); err != nil {
		return err
	}
	if name == "ssl" && value == "true" { // as JDBC spells it; libpq takes it in URIs
		name, value = "sslmode", "require"
	}
	return s.set(name, value)
}

// decode resolves %XX; + stays a plus.
func decode(name, text string) (string, error) {
	value, err := url.PathUnescape(text)
	if err != nil || strings.ContainsRune(value, 0) {
		return "", &Fault{Parameter: printable(name), Reason: `a "%" that is not followed by two hexadecimal digits (write %25)`}
	}
	return value, nil
}
