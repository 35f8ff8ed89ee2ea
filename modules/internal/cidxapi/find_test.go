package cidxapi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	cases := map[string]struct {
		address         string
		applied, launch string // file contents; "" for no file
		want, refused   string // refused: a part of the message
	}{
		"nothing known":                             {want: "http://127.0.0.1:8000"},
		"the argument wins":                         {address: "http://10.0.0.5:8090/", applied: `{"port": 1}`, want: "http://10.0.0.5:8090"},
		"a path of a proxy is kept":                 {address: "https://cidx.example.org/api/", want: "https://cidx.example.org:443/api"},
		"applied settings before wanted ones":       {applied: `{"host":"127.0.0.1","port":8090}`, launch: `{"port":9}`, want: "http://127.0.0.1:8090"},
		"wanted settings where none were applied":   {launch: `{"host":"192.168.1.4","port":8091}`, want: "http://192.168.1.4:8091"},
		"every IPv4 address means loopback":         {launch: `{"host":"0.0.0.0","port":8090}`, want: "http://127.0.0.1:8090"},
		"every IPv6 address means loopback":         {launch: `{"host":"::","port":8090}`, want: "http://[::1]:8090"},
		"a launch file without host and port":       {applied: `{"workers":4}`, launch: `{"port":8092}`, want: "http://127.0.0.1:8092"},
		"no scheme":                                 {address: "127.0.0.1:8000", refused: "not an http address"},
		"another scheme":                            {address: "ftp://127.0.0.1", refused: "not an http address"},
		"credentials in the address":                {address: "http://ops:hunter22@host", refused: "carries more than"},
		"credentials in an address without scheme":  {address: "//ops:hunter22@host", refused: "not an http address"},
		"a launch file that is not JSON":            {launch: `{"port":`, refused: "not a JSON object"},
		"a port out of range":                       {launch: `{"port":70000}`, refused: "port is 70000"},
		"a port of zero":                            {applied: `{"host":"127.0.0.1","port":0}`, refused: "port is 0"},
		"only the host is known, the port is CIDX'": {launch: `{"host":"10.1.1.1"}`, want: "http://10.1.1.1:8000"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			for file, text := range map[string]string{"applied_launch.json": c.applied, "launch.json": c.launch} {
				if text != "" {
					if err := os.WriteFile(filepath.Join(home, file), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			got, err := Find(home, c.address)
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Fatalf("got %q, %v; want a refusal with %q", got, err, c.refused)
				}
				if strings.Contains(err.Error(), "hunter22") {
					t.Error("the message repeats the password")
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}
