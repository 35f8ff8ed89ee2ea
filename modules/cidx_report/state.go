package report

import (
	"encoding/json"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/document"
)

// serverNow takes the state of the server from the reply of cidx_service that was
// asked for right before this report. What a journal says about it may be old: a
// stop that failed, a supervisor, a power cut.
func (d *gathering) serverNow(a args) {
	if d.Outcome != document.Failed && d.Outcome != document.Refused {
		return
	}
	raw, _ := json.Marshal(a.Server) // which came as JSON
	reply := gjson.ParseBytes(raw)
	d.Now = &document.Now{State: document.NowUnknown, Word: "nobody has looked"}
	switch {
	case reply.Get("failed").Bool() || reply.Get("unreachable").Bool():
		d.Now.Word = firstLine(reply.Get("msg").String())
		return
	case !reply.Get("running").Exists():
		return
	case reply.Get("running").Bool():
		d.Now.State = document.NowRunning
	case reply.Get("stopped").Bool():
		d.Now.State = document.NowStopped
	default:
		d.Now.State = document.NowChanging
	}
	d.Now.Word = reply.Get("server").Str
}
