package lab

import (
	"bufio"
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestSweepTakesWhatItsOwnerLeft kills a lab's owner and wants nothing of it left:
// no process, mount, namespace, interface, file.
func TestSweepTakesWhatItsOwnerLeft(t *testing.T) {
	if impossible != "" {
		t.Skip("THE LAB IS NOT RUN ON THIS MACHINE: " + impossible)
	}
	t.Parallel()
	dir := killedLab(t)
	if found, err := owned(dir); err != nil || len(found) == 0 {
		t.Fatalf("processes of the killed lab: %v, %v; want some", found, err)
	}
	if err := Sweep(); err != nil {
		t.Fatal(err)
	}
	if found, err := owned(dir); err != nil || len(found) > 0 {
		t.Errorf("processes survive: %v, %v", found, err)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("%s survives: %v", dir, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for _, words := range [][]string{{"netns", "list"}, {"-o", "link"}} {
		// The kernel takes the interfaces of a namespace away in the background.
		for gone := false; !gone; {
			text, err := exec.CommandContext(ctx, "ip", words...).Output()
			if err != nil {
				t.Fatalf("ip %s shows %s to the end: %v", strings.Join(words, " "), filepath.Base(dir), err)
			}
			gone = !strings.Contains(string(text), filepath.Base(dir))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("mounts survive, or %v", err)
	}
	if _, err := os.Stat(machine.Dir); err != nil {
		t.Errorf("the lab of a living owner was taken: %v", err)
	}
}

// killedLab stages a lab and kills its owner; it returns the lab's folder.
func killedLab(t *testing.T) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(machine.bin, "cidx-lab"), "-repo", machine.repo)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dir := ""
	for lines := bufio.NewScanner(out); dir == "" && lines.Scan(); {
		if _, script, ok := strings.Cut(lines.Text(), "  . "); ok {
			dir = strings.TrimSuffix(script, "/m/env.sh")
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if dir == "" || !strings.HasPrefix(dir, Base()) {
		t.Fatalf("cidx-lab named no folder: %q", dir)
	}
	return dir
}

func TestSubnetsThatMeetARouteAreLeftAlone(t *testing.T) {
	text := `default via 192.0.2.1 dev eth0
192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.2
blackhole 203.0.113.0/24
local 198.51.100.1 dev br table local proto kernel scope host src 198.51.100.1
`
	got := parseRoutes(text)
	want := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("198.51.100.1/32")}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
	for subnet, met := range map[string]bool{"203.0.113.16/28": true, "198.51.100.0/28": true, "198.51.100.16/28": false} {
		if overlaps(netip.MustParsePrefix(subnet), got) != met {
			t.Errorf("%s: meets a route: want %v", subnet, met)
		}
	}
}
