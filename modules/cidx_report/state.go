package report

import (
	"encoding/json"
	"fmt"

	"github.com/tidwall/gjson"
)

// serverNow takes the state of the server from the reply of cidx_service that was
// asked for right before this report. What a journal says about it may be old: a
// stop that failed, a supervisor, a power cut.
func (d *document) serverNow(a args) {
	if d.Outcome != failed && d.Outcome != refused {
		return
	}
	raw, err := json.Marshal(a.Server)
	if err != nil {
		raw = nil
	}
	reply := gjson.ParseBytes(raw)
	d.Now = &now{State: nowUnknown, Word: "nobody has looked"}
	switch {
	case reply.Get("failed").Bool() || reply.Get("unreachable").Bool():
		d.Now.Word = firstLine(reply.Get("msg").String())
	case !reply.Get("running").Exists():
	case reply.Get("running").Bool():
		*d.Now = now{nowRunning, reply.Get("server").Str}
	case reply.Get("stopped").Bool():
		*d.Now = now{nowStopped, reply.Get("server").Str}
	default:
		*d.Now = now{nowChanging, reply.Get("server").Str}
	}
}

// ServerSentence says how the server was when a failure or a refusal was reported.
func (d *document) ServerSentence() string {
	switch {
	case d.Now == nil:
		return ""
	case d.Outcome == failed && d.Subject == ofMigration:
		return d.serverSentence()
	case d.Now.State == nowUnknown:
		return fmt.Sprintf("Whether the server runs is not known (%s).", d.Now.Word)
	case d.Now.State == nowChanging:
		return fmt.Sprintf("The server is %s just now.", d.Now.Word)
	case d.Now.State == nowRunning && d.Outcome == failed:
		return "The server runs."
	case d.Now.State == nowRunning:
		return "The server runs; this run has not stopped it."
	case d.Downtime.Stopped != nil && d.Downtime.Started == nil:
		since := d.Downtime.Stopped.UTC().Format("2006-01-02 15:04:05 UTC")
		return fmt.Sprintf("The server is down; a run has stopped it at %s. It must not be started by hand.", since)
	}
	return "The server is down, as this run has found it."
}

// serverSentence says how the server is, and what must not be done to it before
// one of the ways that are printed next. It claims nothing that was not looked at.
func (d *document) serverSentence() string {
	state, told := d.Now.State, d.Downtime.Started != nil
	switch {
	case state == nowUnknown:
		return fmt.Sprintf("Whether the server runs is not known (%s).\nLeave it as it is before one of these:", d.Now.Word)
	case state == nowChanging:
		return fmt.Sprintf("The server is %s just now.\nLeave it as it is before one of these:", d.Now.Word)
	case d.Downtime.Healthy != nil && state == nowRunning:
		return "The server runs as a cluster node and has answered.\nSee what failed before one of these:"
	case told && state == nowRunning:
		return fmt.Sprintf("The server was started at %s, runs, and is not proven to work.\nLeave it as it is before one of these:", d.Downtime.Started.Format("15:04:05 UTC"))
	case told:
		return fmt.Sprintf("The server was told to start at %s and is down.\nDo not start it before one of these:", d.Downtime.Started.Format("15:04:05 UTC"))
	case state == nowStopped && d.Downtime.Stopped == nil:
		return "The server is down; this migration has not stopped it."
	case state == nowStopped:
		return "The server is down, and must not be started before one of these:"
	case d.Downtime.Stopped == nil:
		return "The server runs: it was not stopped."
	case d.provenStopped():
		return "The server runs although this migration stopped it: something else started it.\nStop it before one of these:"
	}
	return "The server still runs: the stop has failed.\nLeave it as it is before one of these:"
}

// provenStopped reports whether the stop that is in force was ever completed.
func (d *document) provenStopped() bool {
	proven := false
	for _, e := range d.Timeline {
		if e.Module == "cidx_service" {
			proven = e.Event == "stopped" || proven && e.Event != "stopping"
		}
	}
	return proven
}
