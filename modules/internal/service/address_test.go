package service

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/program"
)

// unitRunner answers systemctl show with one unit.
type unitRunner struct {
	exec string
	pid  int
}

func (r unitRunner) Run(context.Context, program.Command) (program.Output, error) {
	return program.Output{Text: fmt.Sprintf("Id=cidx-server.service\nLoadState=loaded\nActiveState=active\nExecStart={ path=x ; argv[]=%s ; ignore_errors=no }\nMainPID=%d\n", r.exec, r.pid)}, nil
}

func TestTheAddressIsWhereTheServerListens(t *testing.T) {
	port := func(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	here, there := fmt.Sprintf("http://127.0.0.1:%d", port(l)), fmt.Sprintf("http://127.0.0.1:%d", port(other))
	const launch = `{"host":"127.0.0.1","port":9}`
	flags := fmt.Sprintf("/opt/py -m uvicorn app --host 0.0.0.0 --port %d", port(l))
	for name, c := range map[string]struct {
		manager, url   string
		runner         unitRunner
		pidFile        bool
		launch, before string
		want           string
	}{
		"the operator's word":                        {BySystemd, "http://10.1.1.1:7", unitRunner{flags, os.Getpid()}, false, launch, there, "http://10.1.1.1:7"},
		"the socket of the unit's process":           {BySystemd, "", unitRunner{flags, os.Getpid()}, false, launch, "", here},
		"of several sockets the one that is named":   {BySystemd, "", unitRunner{fmt.Sprintf("x --port %d", port(other)), os.Getpid()}, false, launch, "", there},
		"of several sockets the launch file's":       {ByCommand, "", unitRunner{}, true, fmt.Sprintf(`{"port":%d}`, port(other)), "", there},
		"a server that its own command has started":  {ByCommand, "", unitRunner{}, true, fmt.Sprintf(`{"port":%d}`, port(l)), "", here},
		"a stopped unit: its ExecStart":              {BySystemd, "", unitRunner{flags, 0}, false, launch, there, here},
		"ExecStart with equals signs":                {BySystemd, "", unitRunner{"x --port=8123 --host=::1", 0}, false, launch, "", "http://[::1]:8123"},
		"ExecStart without a port: as found before":  {BySystemd, "", unitRunner{"/usr/local/bin/start-cidx", 0}, false, launch, there, there},
		"ExecStart with a variable: the launch file": {BySystemd, "", unitRunner{"x --port ${PORT}", 0}, false, launch, "", "http://127.0.0.1:9"},
		"stopped, by command: as found before":       {ByCommand, "", unitRunner{}, false, launch, there, there},
		"stopped, and never found":                   {ByCommand, "", unitRunner{}, false, launch, "", "http://127.0.0.1:9"},
		"nothing at all":                             {ByCommand, "", unitRunner{}, false, "", "", "http://127.0.0.1:8000"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range map[string]string{"launch.json": c.launch, "server.pid": fmt.Sprint(os.Getpid())} {
				if text == "" || file == "server.pid" && !c.pidFile {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			common := home.Common{Home: dir}
			if c.before != "" {
				if err := journal.Append(common.State().Journal(), "cidx_verify", "asked", map[string]any{"url": c.before}); err != nil {
					t.Fatal(err)
				}
			}
			control := Control{Args: Args{Manager: c.manager, Unit: "cidx-server", URL: c.url}, Common: common, Runner: c.runner}
			if got, err := control.Address(t.Context()); err != nil || got != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}
