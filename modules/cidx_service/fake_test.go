package service

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/program"
	"cidx-cluster/modules/internal/service"
)

// machine is systemd as far as we use it: units, drop-ins that it reads at
// daemon-reload, conditions that are looked at when a unit starts.
type machine struct {
	t       *testing.T
	version int
	root    string // of the drop-ins
	units   map[string]*service.Unit
	loaded  map[string][]string // what a unit's drop-in said at the last reload
	log     []string
	fails   map[string]error // by "verb unit"
	on      func(verb, id string)
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, version: 252, root: t.TempDir(), units: map[string]*service.Unit{}, loaded: map[string][]string{}, fails: map[string]error{}}
	m.add(service.Unit{ID: "cidx-server.service", Active: "active", Sub: "running", Type: "simple", Enabled: "enabled", PID: 900, Exec: []string{"/opt/python -m uvicorn code_indexer.server.app:app"}})
	m.add(service.Unit{ID: "cidx-auto-update.service", Active: "inactive", Type: "oneshot", Enabled: "static", Exec: []string{"/opt/python -m code_indexer.server.auto_update.run_once"}, TriggeredBy: []string{"cidx-auto-update.timer"}})
	m.add(service.Unit{ID: "cidx-auto-update.timer", Active: "active", Enabled: "enabled", Triggers: []string{"cidx-auto-update.service"}})
	m.add(service.Unit{ID: "watch-it.service", Active: "active", Sub: "running", Type: "simple", Enabled: "disabled", PID: 901, Exec: []string{"/opt/python -m code_indexer.server.auto_update.health_watchdog --loop"}})
	m.add(service.Unit{ID: "off.timer", Active: "inactive", Enabled: "disabled", Triggers: []string{"watch-it.service"}})
	m.add(service.Unit{ID: "ssh.service", Active: "active", Type: "simple", Enabled: "enabled", PID: 1, Exec: []string{"/usr/sbin/sshd -D"}})
	m.add(service.Unit{ID: "backup.timer", Active: "active", Enabled: "enabled", Triggers: []string{"backup.service"}})
	return m
}

func (m *machine) add(u service.Unit) {
	u.Load, u.Condition = "loaded", true
	m.units[u.ID] = &u
}

func (m *machine) Run(_ context.Context, c program.Command) (program.Output, error) {
	if c.Argv[0] == "journalctl" {
		return program.Output{Code: 1}, nil // it knows nothing
	}
	args := slices.DeleteFunc(slices.Clone(c.Argv[1:]), func(a string) bool { return a == "--no-pager" || a == "--" })
	if args[0] == "--version" {
		return program.Output{Text: fmt.Sprintf("systemd %d (of the test)\n+PAM", m.version)}, nil
	}
	verb, rest := args[0], slices.DeleteFunc(args[1:], func(a string) bool { return strings.HasPrefix(a, "--") })
	if verb != "show" && !strings.HasPrefix(verb, "list") {
		m.log = append(m.log, strings.Join(append([]string{verb}, rest...), " "))
	}
	switch verb {
	case "list-unit-files", "list-units":
		var lines []string
		for id := range m.units {
			lines = append(lines, id+" enabled enabled")
		}
		return program.Output{Text: strings.Join(append(lines, "getty@.service enabled enabled"), "\n")}, nil
	case "show":
		return program.Output{Text: m.show(rest)}, nil
	case "daemon-reload":
		m.reload()
	case "start", "stop":
		for _, id := range rest {
			if err := m.fails[verb+" "+id]; err != nil {
				return program.Output{}, err
			}
			m.change(verb, id)
		}
	}
	return program.Output{}, nil
}

func (m *machine) show(ids []string) string {
	var blocks []string
	for _, id := range ids {
		u := m.units[id]
		if u == nil {
			blocks = append(blocks, "Id="+id+"\nLoadState=not-found\nActiveState=inactive")
			continue
		}
		condition := map[bool]string{true: "yes", false: "no"}[u.Condition]
		blocks = append(blocks, fmt.Sprintf("Id=%s\nLoadState=%s\nActiveState=%s\nSubState=%s\nUnitFileState=%s\nType=%s\nUser=%s\nExecStart={ path=x ; argv[]=%s ; ignore_errors=no ; pid=0 }\nMainPID=%d\nTriggeredBy=%s\nTriggers=%s\nConditionResult=%s",
			id, u.Load, u.Active, u.Sub, u.Enabled, u.Type, u.User, strings.Join(u.Exec, " "), u.PID, strings.Join(u.TriggeredBy, " "), strings.Join(u.Triggers, " "), condition))
	}
	return strings.Join(blocks, "\n\n") + "\n"
}

func (m *machine) reload() {
	m.loaded = map[string][]string{}
	paths, _ := filepath.Glob(filepath.Join(m.root, "*.d", service.DropInName)) // well-formed
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			m.t.Fatal(err)
		}
		m.loaded[strings.TrimSuffix(filepath.Base(filepath.Dir(path)), ".d")] = condition(string(raw))
	}
}

// condition is the command that decides, as systemd would run it
// (systemd.service(5), "command lines").
func condition(dropIn string) []string {
	if _, line, ok := strings.Cut(dropIn, "\nConditionPathExists=!"); ok {
		return []string{"test", "!", "-e", strings.ReplaceAll(strings.TrimSpace(line), "%%", "%")}
	}
	_, line, _ := strings.Cut(dropIn, "\nExecCondition=")
	var words []string
	for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimSpace(rest) {
		var word strings.Builder
		quoted := rest[0] == '"'
		i := 0
		if quoted {
			i = 1
		}
		for ; i < len(rest) && (quoted && rest[i] != '"' || !quoted && rest[i] != ' '); i++ {
			if rest[i] == '\\' {
				i++
			}
			word.WriteByte(rest[i])
		}
		words = append(words, strings.NewReplacer("$$", "$", "%%", "%").Replace(word.String()))
		rest = rest[min(i+1, len(rest)):]
	}
	return words
}

// boot is a power cut: drop-ins are read, enabled units are started.
func (m *machine) boot() {
	m.reload()
	for id, u := range m.units {
		u.Active, u.PID = "inactive", 0
		if u.Enabled == "enabled" {
			m.change("start", id)
		}
	}
}

func (m *machine) change(verb, id string) {
	u := m.units[id]
	if m.on != nil {
		m.on(verb, id)
	}
	if verb == "stop" {
		u.Active, u.Sub, u.PID = "inactive", "dead", 0
		return
	}
	if may := m.loaded[id]; may != nil && exec.Command(may[0], may[1:]...).Run() != nil {
		u.Condition = false
		return
	}
	u.Condition, u.Active = true, "active"
	if !u.Trigger() {
		u.PID = 1000 + len(m.log)
	}
}

// updates is what an updater does when it fires: it restarts the server.
func (m *machine) updates() {
	m.change("stop", "cidx-server.service")
	m.change("start", "cidx-server.service")
}

// states are the units as an operator sees them.
func (m *machine) states() map[string]string {
	all := map[string]string{}
	for id, u := range m.units {
		all[id] = u.Active + " " + u.Enabled
	}
	return all
}

// node is a home on that machine.
func (m *machine) node(t *testing.T, timeout int) (args, service.Control) {
	common := home.Common{Home: t.TempDir()}
	a := service.Args{Manager: service.BySystemd, Unit: "cidx-server", Timeout: timeout, URL: "http://127.0.0.1:1"}
	return args{Common: common, Args: a}, service.Control{Args: a, Common: common, Runner: m, Drops: service.DropIns{Root: m.root}, Scope: service.Scope{Allowed: true}}
}
