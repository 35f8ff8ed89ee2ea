package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
)

// network is a bridge of the machine with the controller's address on it, and
// namespaces attached to it.
type network struct {
	ID     string       `json:"id"` // four characters, part of every name
	Prefix netip.Prefix `json:"prefix"`
}

// Places on the network.
const (
	atController = 1
	atDatabase   = 2
	atNode       = 3 // node1; node2 follows
)

// documentation is what RFC 5737 keeps for examples: no real network uses it.
var documentation = []string{"198.51.100.0/24", "203.0.113.0/24"}

func (n network) addr(place int) string {
	a := n.Prefix.Addr().As4()
	a[3] += byte(place)
	return netip.AddrFrom4(a).String()
}

func (n network) bridge() string           { return "cl" + n.ID }
func (n network) space(place int) string   { return fmt.Sprintf("cidx-lab-%s-%d", n.ID, place) }
func (n network) outside(place int) string { return fmt.Sprintf("cl%sh%d", n.ID, place) }
func (n network) inside(place int) string  { return fmt.Sprintf("cl%sn%d", n.ID, place) }
func (n network) path(place int) string    { return "/run/netns/" + n.space(place) }
func (n network) withBits(place int) string {
	return fmt.Sprintf("%s/%d", n.addr(place), n.Prefix.Bits())
}

// freeSubnet returns a subnet that meets no route and no address of the machine.
func freeSubnet(ctx context.Context) (netip.Prefix, error) {
	used, err := routes(ctx)
	if err != nil {
		return netip.Prefix{}, err
	}
	for _, whole := range documentation {
		start := netip.MustParsePrefix(whole).Addr().As4()
		for last := 0; last < 256; last += 16 {
			start[3] = byte(last)
			candidate := netip.PrefixFrom(netip.AddrFrom4(start), 28)
			if !overlaps(candidate, used) {
				return candidate, nil
			}
		}
	}
	return netip.Prefix{}, errors.New("find a subnet: the machine routes every one of " + strings.Join(documentation, ", "))
}

func overlaps(p netip.Prefix, others []netip.Prefix) bool {
	for _, o := range others {
		if p.Overlaps(o) {
			return true
		}
	}
	return false
}

// routes lists where the machine's IPv4 routes lead, the default route left out.
func routes(ctx context.Context) ([]netip.Prefix, error) {
	out, err := exec.CommandContext(ctx, "ip", "-4", "route", "show", "table", "all").Output()
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return parseRoutes(string(out)), nil
}

func parseRoutes(text string) []netip.Prefix {
	var found []netip.Prefix
	for line := range strings.Lines(text) {
		for _, word := range strings.Fields(line)[:min(2, len(strings.Fields(line)))] { // "198.51.100.0/24 …" or "local 198.51.100.1 …"
			if p, err := netip.ParsePrefix(word); err == nil && p.Bits() > 0 {
				found = append(found, p)
			} else if a, err := netip.ParseAddr(word); err == nil {
				found = append(found, netip.PrefixFrom(a, a.BitLen()))
			}
		}
	}
	return found
}

// up makes the bridge and the namespaces of these places.
func (n network) up(ctx context.Context, places ...int) error {
	commands := [][]string{
		{"link", "add", n.bridge(), "type", "bridge"},
		{"addr", "add", n.withBits(atController), "dev", n.bridge()},
		{"link", "set", n.bridge(), "up"},
	}
	for _, p := range places {
		commands = append(commands, [][]string{
			{"netns", "add", n.space(p)},
			{"link", "add", n.outside(p), "type", "veth", "peer", "name", n.inside(p), "netns", n.space(p)},
			{"link", "set", n.outside(p), "master", n.bridge(), "up"},
			{"-n", n.space(p), "addr", "add", n.withBits(p), "dev", n.inside(p)},
			{"-n", n.space(p), "link", "set", n.inside(p), "up"},
			{"-n", n.space(p), "link", "set", "lo", "up"},
		}...)
	}
	for _, c := range commands {
		if err := ip(ctx, c...); err != nil {
			return err
		}
	}
	return nil
}

// cut takes the cable of a place out, or puts it in again.
func (n network) cut(ctx context.Context, place int, out bool) error {
	state := "up"
	if out {
		state = "down"
	}
	return ip(ctx, "link", "set", n.outside(place), state)
}

// down removes what up made; what is gone already is no error.
func (n network) down(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "ip", "netns", "list").Output()
	if err != nil {
		return fmt.Errorf("list network namespaces: %w", err)
	}
	var errs []error
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(name, "cidx-lab-"+n.ID+"-") {
			errs = append(errs, ip(ctx, "netns", "delete", name))
		}
	}
	if exec.CommandContext(ctx, "ip", "link", "show", n.bridge()).Run() == nil {
		errs = append(errs, ip(ctx, "link", "delete", n.bridge()))
	}
	return errors.Join(errs...)
}

func ip(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
