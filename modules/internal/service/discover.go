package service

import (
	"context"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/regular"
)

// restarters matches what restarts the server behind our back: CIDX's
// auto-updater and its health watchdog (modules of code_indexer.server.auto_update).
var restarters = regexp.MustCompile(`auto[_-]update|health_watchdog`)

// Units are the units that a migration has to do with.
type Units struct {
	Server   Unit   `json:"server"`
	Services []Unit `json:"services"` // updater, watchdog and what the operator named
	Triggers []Unit `json:"triggers"` // timers, paths and sockets that start those or the server
}

// All returns every unit: triggers, services, server.
func (u Units) All() []Unit {
	return append(append(slices.Clone(u.Triggers), u.Services...), u.Server)
}

// Others returns what rests besides the server: triggers, then services.
func (u Units) Others() []Unit { return append(slices.Clone(u.Triggers), u.Services...) }

// Discover finds the server's unit, the services that may restart it, and what
// triggers any of them. extra are unit names of the operator's.
func (s Systemd) Discover(ctx context.Context, server string, extra []string) (Units, error) {
	names, err := s.list(ctx)
	if err != nil {
		return Units{}, err
	}
	for _, name := range append([]string{server}, extra...) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	all, err := s.Show(ctx, names...)
	if err != nil {
		return Units{}, err
	}
	return sortOut(all, server, extra), nil
}

// sortOut picks the units that matter.
func sortOut(all []Unit, server string, extra []string) Units {
	var found Units
	var ids []string
	for _, u := range all {
		switch {
		case u.ID == server:
			found.Server = u
		case u.Trigger():
		case slices.Contains(extra, u.ID) || strings.HasSuffix(u.ID, ".service") && restarts(u):
			found.Services = append(found.Services, u)
			ids = append(ids, u.ID)
		}
	}
	ids = append(ids, server)
	var wanted []string
	for _, u := range append(slices.Clone(found.Services), found.Server) {
		wanted = append(wanted, u.TriggeredBy...)
	}
	for _, u := range all {
		starts := slices.ContainsFunc(u.Triggers, func(t string) bool { return slices.Contains(ids, t) })
		if u.Trigger() && (starts || slices.Contains(wanted, u.ID) || slices.Contains(extra, u.ID)) {
			found.Triggers = append(found.Triggers, u)
		}
	}
	return found
}

func restarts(u Unit) bool {
	return slices.ContainsFunc(u.Exec, restarters.MatchString) || restarters.MatchString(u.ID) && strings.Contains(u.ID, "cidx")
}

// list names every service, timer, path and socket that systemd knows, without
// templates.
func (s Systemd) list(ctx context.Context) ([]string, error) {
	const types = "--type=service,timer,path,socket"
	var names []string
	for _, args := range [][]string{
		{"list-unit-files", types, "--no-legend", "--plain", "--full"},
		{"list-units", types, "--all", "--no-legend", "--plain", "--full"},
	} {
		text, err := s.listing(ctx, args...)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(text) {
			fields := strings.Fields(line)
			if len(fields) == 0 || strings.Contains(fields[0], "@.") || slices.Contains(names, fields[0]) {
				continue
			}
			names = append(names, fields[0])
		}
	}
	return names, nil
}

// CronJobs finds cron tables that mention the updater or the watchdog. We do
// not change them.
func CronJobs() []string {
	var found []string
	for _, pattern := range []string{"/etc/crontab", "/etc/cron.d/*", "/var/spool/cron/*", "/var/spool/cron/crontabs/*"} {
		paths, _ := filepath.Glob(pattern) // the patterns are well-formed
		for _, path := range paths {
			raw, err := regular.Read(path)
			if err != nil {
				continue // a folder, or not ours to read
			}
			for line := range strings.Lines(string(raw)) {
				if !strings.HasPrefix(strings.TrimSpace(line), "#") && restarters.MatchString(line) {
					found = append(found, path)
					break
				}
			}
		}
	}
	return found
}
