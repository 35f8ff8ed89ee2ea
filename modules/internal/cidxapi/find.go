package cidxapi

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"path/filepath"
	"strconv"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/regular"
)

// Where CIDX listens when nothing says otherwise (its class default; the
// installer's unit binds 0.0.0.0 on the same port).
const (
	defaultHost = "127.0.0.1"
	defaultPort = 8000
)

// Find returns the base URL of the server of home, without a trailing slash:
// address when it is given, else what applied_launch.json says, which CIDX
// writes for the settings it really started with, else launch.json, which holds
// the wanted ones, else 127.0.0.1:8000. config.json of a server that has
// started once holds neither host nor port. A host that means "every address"
// becomes the loopback one. The error is a problem.Problem.
func Find(home, address string) (string, error) {
	if address != "" {
		return parseBase(address)
	}
	for _, name := range []string{"applied_launch.json", "launch.json"} {
		base, err := fromLaunch(filepath.Join(home, name))
		if err != nil || base != "" {
			return base, err
		}
	}
	return Base(defaultHost, defaultPort), nil
}

// parseBase checks an operator's address.
func parseBase(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return "", problem.Problem{What: fmt.Sprintf("not an http address: %q", hideUserinfo(address)), At: "cidx_url",
			Fix: "give it as http://127.0.0.1:8000"}
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", problem.Problem{What: "the address carries more than host, port and path", At: "cidx_url",
			Fix: "give it as http://127.0.0.1:8000 and the credentials in cidx_api_user and cidx_api_password"}
	}
	u.Host = net.JoinHostPort(loopback(u.Hostname()), portOf(u))
	for len(u.Path) > 0 && u.Path[len(u.Path)-1] == '/' {
		u.Path = u.Path[:len(u.Path)-1]
	}
	return u.String(), nil
}

// hideUserinfo keeps a password in a mistyped address out of messages.
func hideUserinfo(address string) string {
	for i := len(address) - 1; i >= 0; i-- {
		if address[i] == '@' {
			return "…" + address[i:]
		}
	}
	return address
}

func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}

// fromLaunch reads one of CIDX's launch files; "" if there is none or it names
// neither host nor port.
func fromLaunch(path string) (string, error) {
	raw, err := regular.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", problem.Problem{What: err.Error(), At: path, Fix: "make the file readable, or set cidx_url"}
	}
	doc := gjson.ParseBytes(raw)
	if !gjson.ValidBytes(raw) || !doc.IsObject() {
		return "", problem.Problem{What: "not a JSON object", At: path, Fix: "repair the file, or set cidx_url"}
	}
	host, port := doc.Get("host"), doc.Get("port")
	if !host.Exists() && !port.Exists() {
		return "", nil
	}
	number := int64(defaultPort)
	if port.Exists() && port.Type != gjson.Null {
		number = port.Int()
	}
	if number < 1 || number > 65535 {
		return "", problem.Problem{What: "port is " + port.Raw, At: path, Fix: "repair the file, or set cidx_url"}
	}
	return Base(host.Str, int(number)), nil
}

// Base is the URL of a server on this machine; a host that means "every address"
// becomes the loopback one.
func Base(host string, port int) string {
	return "http://" + net.JoinHostPort(loopback(host), strconv.Itoa(port))
}

// loopback turns "every address" into one that can be called.
func loopback(host string) string {
	switch host {
	case "", "0.0.0.0":
		return defaultHost
	case "::":
		return "::1"
	}
	return host
}
