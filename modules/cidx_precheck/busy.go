package precheck

import (
	"context"
	"strings"

	"cidx-cluster/modules/internal/cidxapi"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/service"
)

// The stop ends what the server is doing, and waits in vain for what it does not
// own. Both are told while there is still time: a migration may go ahead.

// jobs warns of the jobs that the stop would interrupt. client is nil where nobody
// may log in.
func (s *server) jobs(ctx context.Context, client *cidxapi.Client) {
	if !s.running || s.found.migrated {
		return
	}
	var names []string
	for _, j := range s.found.jobs {
		names = append(names, strings.TrimSpace(j.What+" ("+j.Status+")"))
	}
	counted := 0
	if client != nil {
		if health, err := client.Health(ctx); err == nil {
			counted = health.ActiveJobs
		}
	}
	switch {
	case len(names) > 0:
		s.warn("%s not ended; the stop interrupts what runs, and the cluster gets it as failed: %s",
			human.Count(len(names), "job has", "jobs have"), strings.Join(names, ", "))
	case counted > 0:
		s.warn("the server says that %s running (GET /health, active_jobs); the stop interrupts it",
			human.Count(counted, "job is", "jobs are"))
	}
}

// foreign warns of processes that would make the stop fail.
func (s *server) foreign(ctx context.Context) {
	if s.found.migrated {
		return
	}
	list, _, err := s.control.Foreign(ctx)
	if err != nil {
		return // the stop looks again, and refuses
	}
	s.warnings = append(s.warnings, service.ForeignWarnings(list)...)
}
