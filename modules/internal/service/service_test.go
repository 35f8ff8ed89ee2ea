package service

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cidx-cluster/modules/internal/program"

	"github.com/google/go-cmp/cmp"
)

func TestParseUnits(t *testing.T) {
	const text = `Id=cidx-server.service
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
Type=simple
User=cidx
ExecStart={ path=/opt/py ; argv[]=/opt/py -m uvicorn app --port 8000 ; ignore_errors=no ; start_time=[n/a] ; pid=0 }
ExecStart={ path=/bin/true ; argv[]=/bin/true ; ignore_errors=no ; pid=0 }
Environment=A=1 CIDX_SERVER_DATA_DIR=/srv/cidx
MainPID=4711
TriggeredBy=
ConditionResult=yes

Id=x.timer
LoadState=not-found
ActiveState=inactive
Triggers=cidx-server.service other.service
`
	want := []Unit{
		{
			ID: "cidx-server.service", Load: "loaded", Active: "active", Sub: "running", Enabled: "enabled", Type: "simple", User: "cidx",
			Exec: []string{"/opt/py -m uvicorn app --port 8000", "/bin/true"}, Env: "A=1 CIDX_SERVER_DATA_DIR=/srv/cidx", PID: 4711, TriggeredBy: []string{}, Condition: true,
		},
		{ID: "x.timer", Load: "not-found", Active: "inactive", Triggers: []string{"cidx-server.service", "other.service"}},
	}
	if diff := cmp.Diff(want, parseUnits(text)); diff != "" {
		t.Error(diff)
	}
}

func TestSortOutFindsWhatMayRestartTheServer(t *testing.T) {
	unit := func(id, exec string, triggers ...string) Unit {
		return Unit{ID: id, Exec: []string{exec}, Triggers: triggers}
	}
	found := sortOut([]Unit{
		unit("cidx-server.service", "python -m uvicorn"), unit("cidx-auto-update.service", "python -m code_indexer.server.auto_update.run_once"),
		unit("wd.service", "/usr/bin/python3 -m code_indexer.server.auto_update.health_watchdog"), unit("apt-daily.service", "/usr/lib/apt/apt.systemd.daily update"),
		unit("auto-update-os.service", "/usr/bin/unattended-upgrade"), unit("mine.service", "/usr/local/bin/mine"),
		unit("cidx-auto-update.timer", "", "cidx-auto-update.service"), unit("nightly.timer", "", "cidx-server.service"),
		unit("wd.path", "", "wd.service"), unit("apt-daily.timer", "", "apt-daily.service"),
	}, "cidx-server.service", []string{"mine.service"})
	var got []string
	for _, u := range found.All() {
		got = append(got, u.ID)
	}
	want := []string{"cidx-auto-update.timer", "nightly.timer", "wd.path", "cidx-auto-update.service", "wd.service", "mine.service", "cidx-server.service"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDropIns(t *testing.T) {
	d := DropIns{Root: t.TempDir()}
	hold := Rule{Hold: "/srv/100% data/hold"}
	if err := d.Write("a.service", hold); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(d.Root, "a.service.d", DropInName))
	if err != nil || !strings.HasSuffix(string(raw), "[Unit]\nRequiresMountsFor=\"/srv/100%% data\"\nConditionPathExists=!/srv/100%% data/hold\n") {
		t.Errorf("wrote %q, %v", raw, err)
	}
	if has, err := d.Has("a.service", hold); !has || err != nil {
		t.Errorf("has %v, %v", has, err)
	}
	if has, _ := d.Has("a.service", Rule{Hold: "/other"}); has {
		t.Error("a drop-in for another hold file counts")
	}
	if has, _ := d.Has("a.service", Rule{Hold: hold.Hold, Config: "/srv/config.json"}); has {
		t.Error("a drop-in without the way back by hand counts as one with it")
	}
	// A folder that holds more than ours stays.
	other := filepath.Join(d.Root, "a.service.d", "override.conf")
	if err := os.WriteFile(other, []byte("[Service]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Remove("a.service"); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(other); err != nil || d.Present("a.service") {
		t.Errorf("present %v, %v", d.Present("a.service"), err)
	}
}

// patient is a Runner on a node with many units; it remembers what it was asked.
type patient struct{ commands []program.Command }

func (p *patient) Run(_ context.Context, c program.Command) (program.Output, error) {
	p.commands = append(p.commands, c)
	var text strings.Builder
	for i := range 30 {
		fmt.Fprintf(&text, "u%d.service loaded\n", i)
	}
	return program.Output{Text: text.String()}, nil
}

// A busy node, or an emulated one, needs more than systemctl's own 25 s to tell
// about all its units.
func TestListingsOfUnitsGetAMinute(t *testing.T) {
	p := &patient{}
	s := Systemd{Runner: p}
	if _, err := s.Discover(context.Background(), "cidx-server.service", nil); err != nil {
		t.Fatal(err)
	}
	if len(p.commands) < 3 {
		t.Fatalf("%d calls, want two listings and the properties", len(p.commands))
	}
	for _, c := range p.commands {
		if c.Timeout != time.Minute || !slices.Contains(c.Env, "SYSTEMD_BUS_TIMEOUT=60s") {
			t.Errorf("%s: deadline %s, environment %v", c.Argv[2], c.Timeout, c.Env)
		}
	}
	if _, err := s.Show(context.Background(), "cidx-server.service"); err != nil {
		t.Fatal(err)
	}
	if last := p.commands[len(p.commands)-1]; last.Timeout != 20*time.Second {
		t.Errorf("one unit gets %s, want 20 s", last.Timeout)
	}
}
