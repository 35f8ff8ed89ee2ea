package precheck

import (
	"context"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/cidxapi"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/service"
)

// The stop ends what the server is doing, and waits in vain for what it does not
// own. Both are told while there is still time: a migration may go ahead.

// jobs warns of the jobs that the stop would interrupt. client is nil where nobody
// may log in.
func (e *examiner) jobs(ctx context.Context, client *cidxapi.Client) {
	if !e.found.running || e.found.migrated {
		return
	}
	var names []string
	for _, j := range e.found.jobs {
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
		e.warnings = append(e.warnings, fmt.Sprintf("%s not ended; the stop interrupts what runs, and the cluster gets it as failed: %s", human.Count(len(names), "job has", "jobs have"), strings.Join(names, ", ")))
	case counted > 0:
		e.warnings = append(e.warnings, fmt.Sprintf("the server says that %s running (GET /health, active_jobs); the stop interrupts it", human.Count(counted, "job is", "jobs are")))
	}
}

// foreign warns of processes that would make the stop fail.
func (e *examiner) foreign(ctx context.Context) {
	if e.found.migrated {
		return
	}
	list, _, err := e.control.Foreign(ctx)
	if err != nil {
		return // the stop looks again, and refuses
	}
	e.warnings = append(e.warnings, service.ForeignWarnings(list)...)
}
