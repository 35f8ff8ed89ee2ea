package report

import (
	"encoding/json"
	"time"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
)

// document is report.json. Lists are never null. docs/report.md explains it.
type document struct {
	Format       int            `json:"format"` // 1; grows when a field changes its meaning
	Time         time.Time      `json:"time"`
	Tool         tool           `json:"tool"`
	Run          origin         `json:"run"`
	Subject      string         `json:"subject"` // what was run: migration, rollback, verification, acceptance, addition, removal
	Outcome      string         `json:"outcome"`
	Check        bool           `json:"check"`
	Host         string         `json:"host"`      // in the inventory; "" if unknown
	Node         string         `json:"node_name"` // what the machine calls itself
	Home         string         `json:"home"`
	Share        string         `json:"share"`
	State        string         `json:"state_dir"`
	Server       server         `json:"server"`
	Now          *now           `json:"server_now,omitempty"` // of a failure or a refusal
	Steps        []step         `json:"steps"`
	Timeline     []event        `json:"timeline"`
	Downtime     downtime       `json:"downtime"`
	Forecast     *forecast      `json:"forecast,omitempty"` // of a rehearsal, also of the one before a migration
	Fact         *moved         `json:"fact,omitempty"`     // what a migration has moved
	Database     database       `json:"database"`
	Files        files          `json:"files"`
	Aliases      aliases        `json:"aliases"`
	Repositories []repository   `json:"repositories"`
	Accessible   int            `json:"accessible"`
	Checks       []check        `json:"checks"`
	Warnings     []remark       `json:"warnings"`
	Problems     []problemLine  `json:"problems"`
	Artifacts    []artifact     `json:"artifacts"`
	Rollback     commands       `json:"rollback"`
	Acceptance   *acceptance    `json:"acceptance,omitempty"` // once the migration is final
	Resume       string         `json:"resume"`               // command that goes on after a failure
	Next         []way          `json:"next"`                 // what may be done now, the usual first
	Secrets      map[string]any `json:"secrets,omitempty"`
}

// tool is what has made the report.
type tool struct {
	Version string `json:"version"`      // of the collection
	Build   string `json:"build"`        // of the helper
	Core    string `json:"ansible_core"` // "" if unknown
}

// origin is who has run what from where. The command has no value that was given with -e.
type origin struct {
	User       string `json:"user"`
	Controller string `json:"controller"`
	Folder     string `json:"folder"` // where ansible-playbook was started
	Command    string `json:"command"`
	Inline     string `json:"inline"` // names of variables that were given with -e
}

// way is something that may be done now.
type way struct {
	What    string `json:"what"`
	Command string `json:"command"` // "" where there is none
}

// server is what verification learnt of it.
type server struct {
	Version string  `json:"version"`
	Status  string  `json:"status"`
	NodeID  string  `json:"node_id"`
	Healthy float64 `json:"healthy_seconds"`
}

// now is whether the server ran when the report was made.
type now struct {
	State string `json:"state"` // running, stopped, changing, unknown
	Word  string `json:"word"`  // the manager's, e.g. "active"; of unknown the reason
}

// States of the server.
const (
	nowRunning  = "running"
	nowStopped  = "stopped"
	nowChanging = "changing" // starting or stopping
	nowUnknown  = "unknown"
)

// States of a step.
const (
	stepDone      = "done"
	stepUnchanged = "unchanged"
	stepFailed    = "failed"
	stepRehearsed = "rehearsed"
	stepSkipped   = "skipped"
	stepBegun     = "begun"
	stepMissing   = "not done"
)

type step struct {
	Name    string  `json:"name"`  // of the reply, e.g. "database"
	State   string  `json:"state"` // done, unchanged, failed, rehearsed, skipped, begun, not done
	Seconds float64 `json:"seconds"`
	Message string  `json:"message"`
}

type event struct {
	Time   time.Time      `json:"time"`
	Module string         `json:"module"`
	Event  string         `json:"event"`
	After  float64        `json:"after_seconds"` // since the event before it; 0 for the first
	Data   map[string]any `json:"data,omitempty"`
}

// downtime is from the order to stop until the server was healthy again.
type downtime struct {
	Stopped *time.Time `json:"stopped"` // null: the server was not stopped
	Started *time.Time `json:"started"` // null: not started since
	Healthy *time.Time `json:"healthy"` // null: it is still down, or not proven healthy
	Seconds float64    `json:"seconds"` // 0 unless both are known
}

// forecast is what a migration would move, and how long the server would be down for it.
type forecast struct {
	moved
	Downtime *expected `json:"downtime,omitempty"`
}

// moved is what a migration moves.
type moved struct {
	Rows    int64   `json:"rows"`
	Bytes   int64   `json:"bytes"`
	Files   int64   `json:"files"`
	Aliases int64   `json:"aliases"`      // to rewrite
	Warm    float64 `json:"warm_seconds"` // of the copy while the server answers; 0: unknown
}

type database struct {
	PostgreSQL     string  `json:"postgresql"` // its version; "" if unknown
	Rows           int64   `json:"rows"`
	Tables         []table `json:"tables"`
	Skipped        []table `json:"skipped_tables"`
	Quarantined    int64   `json:"quarantined"`
	JobsFailed     int64   `json:"jobs_failed"`
	PathsRewritten int64   `json:"paths_rewritten"`

	Warm warmRows `json:"warm"`
}

// warmRows are the rows that were in PostgreSQL before the stop.
type warmRows struct {
	Rows    int64  `json:"rows"`
	Changed int64  `json:"changed"` // since, in SQLite
	Added   int64  `json:"added"`
	Deleted int64  `json:"deleted"`
	Reason  string `json:"reason,omitempty"` // why they did not count
}

type table struct {
	Table  string `json:"table"`
	File   string `json:"file"`
	Rows   int64  `json:"rows"`
	Digest string `json:"digest,omitempty"` // of the rows, as they were loaded
	Status string `json:"status,omitempty"`
	Why    string `json:"why,omitempty"`
}

type files struct {
	Parts    []part  `json:"parts"`
	Passes   []pass  `json:"passes"`
	LeftOut  []entry `json:"left_out"`
	Foreign  []entry `json:"foreign"`
	Paths    []entry `json:"paths"`
	Repaired []entry `json:"repaired"`
}

// part is one tree on the share.
type part struct {
	Name         string `json:"name"`
	Repositories int64  `json:"repositories"`
	Files        int64  `json:"files"`
	Folders      int64  `json:"folders"`
	Bytes        int64  `json:"bytes"`
	Target       string `json:"target"`
}

// pass is one run of the copy.
type pass struct {
	Time    time.Time `json:"time"`
	Phase   string    `json:"phase"` // warm, delta; "… interrupted"
	Files   int64     `json:"files"` // copied
	Bytes   int64     `json:"bytes"` // copied
	Deleted int64     `json:"deleted"`
}

// entry is a path with a remark.
type entry struct {
	Path string `json:"path"`
	Why  string `json:"why,omitempty"`
}

type aliases struct {
	Total     int     `json:"total"`
	Updated   int64   `json:"updated"`
	LeftAlone []entry `json:"left_alone"`
}

type repository struct {
	Alias      string `json:"alias"`
	Golden     string `json:"golden,omitempty"`
	Accessible bool   `json:"accessible"`
	Hits       int64  `json:"hits"`
	Word       string `json:"word,omitempty"`
	Mode       string `json:"mode,omitempty"`
	Path       string `json:"path,omitempty"`
}

type check struct {
	Step   string `json:"step"`
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

type remark struct {
	Step string `json:"step"`
	Code string `json:"code"` // of the kind, see codes.go
	Text string `json:"text"`
}

type problemLine struct {
	Step string `json:"step"`
	Code string `json:"code"` // of the kind, see codes.go
	problem.Problem
}

// artifact is a file beside the report.
type artifact struct {
	Path  string    `json:"path"`
	Time  time.Time `json:"time"` // of its last change
	Lines int       `json:"lines"`
	What  string    `json:"what"`
}

// acceptance says that the migration is final, and what went with it.
type acceptance struct {
	Time    time.Time      `json:"time"`
	By      string         `json:"by"`
	Files   int64          `json:"files"`
	Bytes   int64          `json:"bytes"` // that came free
	Removed []home.Remnant `json:"removed"`
}

// commands bring the standalone server back. Where nothing can, Final says why
// and the rest is empty.
type commands struct {
	Final    string   `json:"final,omitempty"`
	Playbook string   `json:"playbook"`
	ByHand   []string `json:"by_hand"`
}

// encode renders report.json.
func (d document) encode() ([]byte, error) {
	raw, err := json.MarshalIndent(d, "", "  ")
	return append(raw, '\n'), err
}
