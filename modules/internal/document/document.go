// Package document is the report of a run: its fields as report.json has them, the page,
// and the words that end the transcript. Whoever gathers fills it in; it reads nothing,
// and knows no journal. docs/report.md explains every field.
package document

import (
	"encoding/json"
	"time"

	"cidx-cluster/modules/internal/problem"
)

// Report is report.json. Lists are never null.
type Report struct {
	Format       int            `json:"format"` // 1; grows when a field changes its meaning
	Time         time.Time      `json:"time"`
	Tool         Tool           `json:"tool"`
	Run          Origin         `json:"run"`
	Subject      string         `json:"subject"` // what was run: migration, rollback, verification, acceptance, addition, removal
	Outcome      string         `json:"outcome"`
	Check        bool           `json:"check"`
	Host         string         `json:"host"`      // in the inventory; "" if unknown
	Node         string         `json:"node_name"` // what the machine calls itself
	Home         string         `json:"home"`
	Share        string         `json:"share"`
	State        string         `json:"state_dir"`
	Server       Server         `json:"server"`
	Now          *Now           `json:"server_now,omitempty"` // of a failure or a refusal
	Steps        []Step         `json:"steps"`
	Timeline     []Event        `json:"timeline"`
	Downtime     Downtime       `json:"downtime"`
	Forecast     *Forecast      `json:"forecast,omitempty"` // of a rehearsal, also of the one before a migration
	Fact         *Moved         `json:"fact,omitempty"`     // what a migration has moved
	Database     Database       `json:"database"`
	Files        Files          `json:"files"`
	Aliases      Aliases        `json:"aliases"`
	Repositories []Repository   `json:"repositories"`
	Accessible   int            `json:"accessible"`
	Checks       []Check        `json:"checks"`
	Warnings     []Remark       `json:"warnings"`
	Problems     []Problem      `json:"problems"`
	Artifacts    []Artifact     `json:"artifacts"`
	Rollback     Commands       `json:"rollback"`
	Acceptance   *Acceptance    `json:"acceptance,omitempty"` // once the migration is final
	Resume       string         `json:"resume"`               // command that goes on after a failure
	Next         []Way          `json:"next"`                 // what may be done now, the usual first
	Secrets      map[string]any `json:"secrets,omitempty"`
}

// New is a report of which nothing is known yet.
func New(at time.Time) *Report {
	return &Report{
		Format: 1, Time: at.UTC().Truncate(time.Millisecond),
		Steps: []Step{}, Timeline: []Event{}, Repositories: []Repository{}, Checks: []Check{},
		Warnings: []Remark{}, Problems: []Problem{}, Artifacts: []Artifact{}, Next: []Way{},
		Database: Database{Tables: []Table{}, Skipped: []Table{}},
		Files: Files{
			Parts: []Part{}, Passes: []Pass{}, LeftOut: []Entry{}, Foreign: []Entry{}, Paths: []Entry{}, Repaired: []Entry{},
		},
		Aliases: Aliases{LeftAlone: []Entry{}},
	}
}

// Tool is what has made the report.
type Tool struct {
	Version string `json:"version"`      // of the collection
	Build   string `json:"build"`        // of the helper
	Core    string `json:"ansible_core"` // "" if unknown
}

// Origin is who has run what from where. The command has no value that was given with -e.
type Origin struct {
	User       string `json:"user"`
	Controller string `json:"controller"`
	Folder     string `json:"folder"` // where ansible-playbook was started
	Command    string `json:"command"`
	Inline     string `json:"inline"` // names of variables that were given with -e
}

// Way is something that may be done now.
type Way struct {
	What    string `json:"what"`
	Command string `json:"command"` // "" where there is none
}

// Server is what verification learnt of it.
type Server struct {
	Version string  `json:"version"`
	Status  string  `json:"status"`
	NodeID  string  `json:"node_id"`
	Healthy float64 `json:"healthy_seconds"`
}

// Now is whether the server ran when the report was made.
type Now struct {
	State string `json:"state"` // running, stopped, changing, unknown
	Word  string `json:"word"`  // the manager's, e.g. "active"; of unknown the reason
}

// States of the server.
const (
	NowRunning  = "running"
	NowStopped  = "stopped"
	NowChanging = "changing" // starting or stopping
	NowUnknown  = "unknown"
)

// States of a step.
const (
	StepDone      = "done"
	StepUnchanged = "unchanged"
	StepFailed    = "failed"
	StepRehearsed = "rehearsed"
	StepSkipped   = "skipped"
	StepBegun     = "begun"
	StepMissing   = "not done"
)

type Step struct {
	Name    string  `json:"name"`  // of the reply, e.g. "database"
	State   string  `json:"state"` // done, unchanged, failed, rehearsed, skipped, begun, not done
	Seconds float64 `json:"seconds"`
	Message string  `json:"message"`
}

type Event struct {
	Time   time.Time      `json:"time"`
	Module string         `json:"module"`
	Event  string         `json:"event"`
	After  float64        `json:"after_seconds"` // since the event before it; 0 for the first
	Data   map[string]any `json:"data,omitempty"`
}

// Downtime is from the order to stop until the server was healthy again.
type Downtime struct {
	Stopped *time.Time `json:"stopped"` // null: the server was not stopped
	Started *time.Time `json:"started"` // null: not started since
	Healthy *time.Time `json:"healthy"` // null: it is still down, or not proven healthy
	Seconds float64    `json:"seconds"` // 0 unless both are known
}

// Forecast is what a migration would move, and how long the server would be down for it.
type Forecast struct {
	Moved
	Downtime *Expected `json:"downtime,omitempty"`
}

// Moved is what a migration moves.
type Moved struct {
	Rows    int64   `json:"rows"`
	Bytes   int64   `json:"bytes"`
	Files   int64   `json:"files"`
	Aliases int64   `json:"aliases"`      // to rewrite
	Warm    float64 `json:"warm_seconds"` // of the copy while the server answers; 0: unknown
}

type Database struct {
	PostgreSQL     string  `json:"postgresql"` // its version; "" if unknown
	Rows           int64   `json:"rows"`
	Tables         []Table `json:"tables"`
	Skipped        []Table `json:"skipped_tables"`
	Quarantined    int64   `json:"quarantined"`
	JobsFailed     int64   `json:"jobs_failed"`
	PathsRewritten int64   `json:"paths_rewritten"`

	Warm WarmRows `json:"warm"`
}

// WarmRows are the rows that were in PostgreSQL before the stop.
type WarmRows struct {
	Rows    int64  `json:"rows"`
	Changed int64  `json:"changed"` // since, in SQLite
	Added   int64  `json:"added"`
	Deleted int64  `json:"deleted"`
	Reason  string `json:"reason,omitempty"` // why they did not count
}

type Table struct {
	Table  string `json:"table"`
	File   string `json:"file"`
	Rows   int64  `json:"rows"`
	Digest string `json:"digest,omitempty"` // of the rows, as they were loaded
	Status string `json:"status,omitempty"`
	Why    string `json:"why,omitempty"`
}

type Files struct {
	Parts    []Part  `json:"parts"`
	Passes   []Pass  `json:"passes"`
	LeftOut  []Entry `json:"left_out"`
	Foreign  []Entry `json:"foreign"`
	Paths    []Entry `json:"paths"`
	Repaired []Entry `json:"repaired"`
}

// Part is one tree on the share.
type Part struct {
	Name         string `json:"name"`
	Repositories int64  `json:"repositories"`
	Files        int64  `json:"files"`
	Folders      int64  `json:"folders"`
	Bytes        int64  `json:"bytes"`
	Target       string `json:"target"`
}

// Pass is one run of the copy.
type Pass struct {
	Time    time.Time `json:"time"`
	Phase   string    `json:"phase"` // warm, delta; "… interrupted"
	Files   int64     `json:"files"` // copied
	Bytes   int64     `json:"bytes"` // copied
	Deleted int64     `json:"deleted"`
}

// Entry is a path with a remark.
type Entry struct {
	Path string `json:"path"`
	Why  string `json:"why,omitempty"`
}

type Aliases struct {
	Total     int     `json:"total"`
	Updated   int64   `json:"updated"`
	LeftAlone []Entry `json:"left_alone"`
}

type Repository struct {
	Alias      string `json:"alias"`
	Golden     string `json:"golden,omitempty"`
	Accessible bool   `json:"accessible"`
	Hits       int64  `json:"hits"`
	Word       string `json:"word,omitempty"`
	Mode       string `json:"mode,omitempty"`
	Path       string `json:"path,omitempty"`
}

type Check struct {
	Step   string `json:"step"`
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

type Remark struct {
	Step string `json:"step"`
	Code string `json:"code"` // of the kind, see package codes
	Text string `json:"text"`
}

type Problem struct {
	Step string `json:"step"`
	Code string `json:"code"` // of the kind, see package codes
	problem.Problem
}

// Artifact is a file beside the report.
type Artifact struct {
	Path  string    `json:"path"`
	Time  time.Time `json:"time"` // of its last change
	Lines int       `json:"lines"`
	What  string    `json:"what"`
}

// Acceptance says that the migration is final, and what went with it.
type Acceptance struct {
	Time    time.Time `json:"time"`
	By      string    `json:"by"`
	Files   int64     `json:"files"`
	Bytes   int64     `json:"bytes"` // that came free
	Removed []Remnant `json:"removed"`
}

// Remnant is something that only a rollback needed.
type Remnant struct {
	Path  string `json:"path"`
	What  string `json:"what"`
	Files int64  `json:"files"`
	Bytes int64  `json:"bytes"` // that came free with it
}

// Commands bring the standalone server back. Where nothing can, Final says why
// and the rest is empty.
type Commands struct {
	Final    string   `json:"final,omitempty"`
	Playbook string   `json:"playbook"`
	ByHand   []string `json:"by_hand"`
}

// Encode renders report.json.
func (d Report) Encode() ([]byte, error) {
	raw, err := json.MarshalIndent(d, "", "  ")
	return append(raw, '\n'), err
}
