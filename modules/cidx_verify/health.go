package verify

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"cidx-cluster/modules/internal/cidxapi"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
)

// Pace of asking, and of looking where the server listens; the time that one
// probe may take, and the question for
// reasons: its login may have to wait for the next one-time password, and the
// node may be busy. CIDX caches /healthz for two seconds.
const (
	pace           = 500 * time.Millisecond
	relocate       = 2 * time.Second
	probeTimeout   = 5 * time.Second
	reasonsTimeout = 45 * time.Second
)

// awaitHealth asks until the server is healthy, or the time is over: one limit
// for the first answer, another one from there to health.
func (v *verification) awaitHealth(ctx context.Context) error {
	wait := v.patience()
	start, limit := time.Now(), wait.start
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	end := time.NewTimer(limit)
	defer end.Stop()
	var last error
	located := start
	for answers := false; ; {
		state, err := v.probe(ctx)
		if err == nil {
			return v.up(ctx, state, start)
		}
		last = err
		if !answers && !away(err) {
			answers, limit = true, wait.answer
			end.Reset(limit)
		}
		if !answers && time.Since(located) > relocate {
			if err := v.locate(ctx); err != nil {
				return err
			}
			located = time.Now()
		}
		progress.Report(ctx, progress.Status{
			What: "waiting for the server: " + cidxapi.Short(last), Unit: "s",
			Done: int64(time.Since(start).Seconds()), Total: int64(limit.Seconds()),
		})
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the server: %w", context.Cause(ctx))
		case <-end.C:
			return v.neverHealthy(ctx, last, limit)
		case <-tick.C:
		}
	}
}

// away reports that nothing answered yet.
func away(err error) bool {
	var silent *cidxapi.NoAnswer
	return errors.As(err, &silent)
}

// up records a server that answers.
func (v *verification) up(ctx context.Context, state health, probed time.Time) error {
	took, ours := v.since(probed)
	seconds := math.Max(1, math.Round(took.Seconds()))
	v.passed(ctx, "Server startup", fmt.Sprintf("%s in %.0fs", state.status, seconds))
	v.reply.Data["healthy_seconds"] = human.Tenths(took.Seconds())
	v.reply.Data["server_status"] = state.status
	if len(state.reasons) > 0 {
		v.warn("the server is %s: %s", state.status, strings.Join(state.reasons, "; "))
	}
	if !ours {
		return nil
	}
	return journal.Append(v.args.State().Journal(), moduleName, healthyEvent,
		map[string]any{"seconds": v.reply.Data["healthy_seconds"], "mode": v.args.Mode, "url": v.api.Base()})
}

// since is the time from the start of the service, where our own journal knows
// it, else from the first probe. ours: the journal does not know yet how long
// that start took.
func (v *verification) since(probe time.Time) (took time.Duration, ours bool) {
	entries, err := journal.Read(v.args.State().Journal())
	if err != nil {
		return time.Since(probe), false
	}
	last, ok := journal.Last(entries, "cidx_service")
	if !ok || last.Event != "started" || !last.Time.Before(probe) || probe.Sub(last.Time) > 10*time.Minute {
		return time.Since(probe), false
	}
	healthy, known := home.Standing{Entries: entries}.Last(moduleName, healthyEvent)
	return time.Since(last.Time), !known || healthy.Time.Before(last.Time)
}

// health is a state that is good enough, with the reasons why it is not better.
type health struct {
	status  string
	reasons []string
}

// errUnhealthy carries the server's own reasons.
type errUnhealthy struct{ reasons []string }

func (e *errUnhealthy) Error() string {
	if len(e.reasons) == 0 {
		return "the server says that it is unhealthy"
	}
	return "the server says that it is unhealthy: " + strings.Join(e.reasons, "; ")
}

// probe asks once. An error means: not yet.
func (v *verification) probe(ctx context.Context) (health, error) {
	brief, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	live, err := v.api.Healthz(brief)
	switch {
	case err != nil:
		return health{}, err
	case live.Status == cidxapi.Healthy:
		return health{status: cidxapi.Healthy}, nil
	case live.Status == cidxapi.Answers:
		return health{status: cidxapi.Answers, reasons: []string{"its release has no health probe; it answers at " + live.Endpoint}}, nil
	}
	ctx, done := context.WithTimeout(ctx, reasonsTimeout)
	defer done()
	detail, err := v.api.SystemHealth(ctx)
	if err != nil {
		detail.Reasons = []string{"the reasons are unknown: " + cidxapi.Short(err)}
	}
	if err == nil && live.Status == cidxapi.Unhealthy && onlyBusy(detail.Reasons) {
		return health{status: cidxapi.Degraded, reasons: append(detail.Reasons, "a busy machine, which says nothing about the data")}, nil
	}
	if live.Status == cidxapi.Degraded {
		return health{status: cidxapi.Degraded, reasons: reasonsOr(detail.Reasons, "it names no reason")}, nil
	}
	if err == nil && v.falseAlarm(ctx, detail.Status) {
		const always = "/healthz says unhealthy, as this release always does with SQLite"
		return health{status: cidxapi.Degraded, reasons: reasonsOr(detail.Reasons, always)}, nil
	}
	return health{}, &errUnhealthy{detail.Reasons}
}

func reasonsOr(reasons []string, otherwise string) []string {
	if len(reasons) == 0 {
		return []string{otherwise}
	}
	return reasons
}

// falseAlarm recognises CIDX 11.65 to 11.68, whose /healthz answers 503 on
// every SQLite server because it looks for one database in the wrong place.
func (v *verification) falseAlarm(ctx context.Context, systemStatus string) bool {
	if v.args.Mode != "standalone" {
		return false
	}
	if systemStatus == cidxapi.Healthy || systemStatus == cidxapi.Degraded {
		return true
	}
	server, err := v.api.Health(ctx)
	if err != nil {
		return false
	}
	parts := strings.SplitN(server.Version, ".", 3)
	if len(parts) < 2 || parts[0] != "11" {
		return false
	}
	minor, err := strconv.Atoi(parts[1])
	return err == nil && minor >= 65 && minor <= 68
}

// neverHealthy is the message when time is over; last is why the last probe
// was not good enough.
func (v *verification) neverHealthy(ctx context.Context, last error, limit time.Duration) error {
	seconds := int(limit.Seconds())
	v.failed(ctx, "Server startup", fmt.Sprintf("not healthy within %ds", seconds))
	p := problem.Problem{What: fmt.Sprintf("not healthy within %d s: %s", seconds, cidxapi.Short(last)), At: v.api.Base(),
		Fix: "look into the server's log; if it only starts slowly, raise cidx_verify_timeout and run the same playbook again"}
	var sick *errUnhealthy
	if errors.As(last, &sick) {
		p.Fix = "remove the reasons that the server names, then run the same playbook again"
	}
	return p
}
