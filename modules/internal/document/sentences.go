package document

import "fmt"

// ServerSentence says how the server was when a failure or a refusal was reported.
func (d *Report) ServerSentence() string {
	switch {
	case d.Now == nil:
		return ""
	case d.Outcome == Failed && d.Subject == OfMigration:
		return d.serverSentence()
	case d.Now.State == NowUnknown:
		return fmt.Sprintf("Whether the server runs is not known (%s).", d.Now.Word)
	case d.Now.State == NowChanging:
		return fmt.Sprintf("The server is %s just now.", d.Now.Word)
	case d.Now.State == NowRunning && d.Outcome == Failed:
		return "The server runs."
	case d.Now.State == NowRunning:
		return "The server runs; this run has not stopped it."
	case d.Downtime.Stopped != nil && d.Downtime.Started == nil:
		since := d.Downtime.Stopped.UTC().Format("2006-01-02 15:04:05 UTC")
		return fmt.Sprintf("The server is down; a run has stopped it at %s. It must not be started by hand.", since)
	}
	return "The server is down, as this run has found it."
}

// serverSentence says how the server is, and what must not be done to it before
// one of the ways that are printed next. It claims nothing that was not looked at.
func (d *Report) serverSentence() string {
	const clock = "15:04:05 UTC"
	state, told := d.Now.State, d.Downtime.Started != nil
	switch {
	case state == NowUnknown:
		return fmt.Sprintf("Whether the server runs is not known (%s).\nLeave it as it is before one of these:", d.Now.Word)
	case state == NowChanging:
		return fmt.Sprintf("The server is %s just now.\nLeave it as it is before one of these:", d.Now.Word)
	case d.Downtime.Healthy != nil && state == NowRunning:
		return "The server runs as a cluster node and has answered.\nSee what failed before one of these:"
	case told && state == NowRunning:
		return "The server was started at " + d.Downtime.Started.Format(clock) +
			", runs, and is not proven to work.\nLeave it as it is before one of these:"
	case told:
		return "The server was told to start at " + d.Downtime.Started.Format(clock) +
			" and is down.\nDo not start it before one of these:"
	case state == NowStopped && d.Downtime.Stopped == nil:
		return "The server is down; this migration has not stopped it."
	case state == NowStopped:
		return "The server is down, and must not be started before one of these:"
	case d.Downtime.Stopped == nil:
		return "The server runs: it was not stopped."
	case d.provenStopped():
		return "The server runs although this migration stopped it: something else started it.\nStop it before one of these:"
	}
	return "The server still runs: the stop has failed.\nLeave it as it is before one of these:"
}

// provenStopped reports whether the stop that is in force was ever completed.
func (d *Report) provenStopped() bool {
	proven := false
	for _, e := range d.Timeline {
		if e.Module == "cidx_service" {
			proven = e.Event == "stopped" || proven && e.Event != "stopping"
		}
	}
	return proven
}
