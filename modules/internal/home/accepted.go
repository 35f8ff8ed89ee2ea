package home

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/regular"
)

// Names of cidx_config's journal entries about the acceptance of a migration. The
// decision itself is the record, which is written first.
const (
	Accepting = "accepting" // the removal of what only a rollback needs begins
	Accepted  = "accepted"  // nothing of it is left; also "files", "bytes"
)

// Acceptance is <state>/accepted.json: the migration is final. From the moment it
// is written no rollback may begin, whether everything was removed or not.
type Acceptance struct {
	Time     time.Time              `json:"time"`
	By       string                 `json:"by"`      // who started the playbook, on which controller
	Home     string                 `json:"home"`    // the standalone server that was migrated
	Host     string                 `json:"host"`    // and the machine's name then
	Node     string                 `json:"node_id"` // the cluster node that it has become
	Source   string                 `json:"source_id"`
	Loaded   string                 `json:"loaded"`   // when, as PostgreSQL has it
	Migrated time.Time              `json:"migrated"` // when the cut-over was completed
	Tables   map[string]LoadedTable `json:"tables"`   // what the standalone server had
	Removed  []Remnant              `json:"removed"`
}

// LoadedTable is what was loaded into a table.
type LoadedTable struct {
	Rows   int64  `json:"rows"`
	Digest string `json:"digest"`
}

// Remnant is something that only a rollback needs.
type Remnant struct {
	Path  string `json:"path"`
	What  string `json:"what"`
	Files int64  `json:"files"`
	Bytes int64  `json:"bytes"` // that come free with it
}

// Sentence says when and by whom.
func (a Acceptance) Sentence() string {
	return fmt.Sprintf("this migration was accepted at %s by %s", a.Time.UTC().Format("2006-01-02 15:04 UTC"), a.By)
}

// NoWayBack is the problem of a rollback after the acceptance.
func (a Acceptance) NoWayBack(state State) problem.Problem {
	return problem.Problem{What: a.Sentence() + ": what a rollback needs was removed then", At: state.Acceptance(),
		Fix: "there is no way back to the standalone server; the cluster node goes on as it is, nothing was changed"}
}

// Acceptance is the record of the acceptance.
func (s State) Acceptance() string { return s.Path("accepted.json") }

// accepted reads the record; nil where there is none.
func (s State) accepted() (*Acceptance, error) {
	raw, err := regular.Read(s.Acceptance())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	a := &Acceptance{}
	if err == nil {
		err = json.Unmarshal(raw, a)
	}
	if err != nil {
		return nil, problem.Problem{What: "read the record of the acceptance: " + err.Error(), At: s.Acceptance(),
			Fix: "make it readable for the server's user, or restore it from a backup of the node; while it is there, the " +
				"migration counts as accepted"}
	}
	return a, nil
}

// Links are the links that the journal says our cut-over has put in place:
// link → target.
func (s Standing) Links() map[string]string {
	now, before := map[string]string{}, map[string]string{}
	for _, e := range s.Entries {
		if e.Module != ConfigModule {
			continue
		}
		link, _ := e.Data["link"].(string)
		target, _ := e.Data["target"].(string)
		switch e.Event {
		case ConfigBegun:
			before = map[string]string{}
			maps.Copy(before, now)
		case ConfigLinked:
			now[link] = target
		case ConfigFreed:
			delete(now, link)
		case ConfigUndone:
			now = before
		}
	}
	return now
}

// Final says why the standalone server cannot come back, "" where it may: the
// migration was accepted, or somebody has removed what was set aside.
func (s Standing) Final(home string) string {
	if s.Accepted != nil {
		return s.Accepted.Sentence()
	}
	if s.Forgotten || s.Stray {
		return "the record of this migration is gone, and with it the way back to the standalone server"
	}
	links := s.Links()
	for _, t := range AllTrees(home, "") {
		info, err := os.Lstat(t.Link)
		if _, ours := links[t.Link]; ours && !t.Moved() && err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return filepath.Base(t.Aside()) + " was removed, and with it the way back to the standalone server"
		}
	}
	return ""
}

// worked reports whether a migration or a rollback has left its lines. Those of a
// verification or a report may come from a later run.
func worked(entries []journal.Entry) bool {
	for _, e := range entries {
		switch e.Module {
		case ConfigModule, DatabaseModule, ServiceModule, BackupModule:
			return true
		}
	}
	return false
}

// keptAside looks for the standalone configuration that every run keeps before
// its cut-over.
func (c Common) keptAside() bool {
	kept, err := os.Lstat(c.ConfigPath() + PreCluster)
	return err == nil && kept.Mode().IsRegular()
}

// linked reports whether a link lies in the place of the repositories, and
// nothing was set aside for it.
func (c Common) linked() bool {
	for _, t := range AllTrees(c.Home, "") {
		link, err := os.Lstat(t.Link)
		if err == nil && link.Mode()&fs.ModeSymlink != 0 && t.Name == cidx.GoldenRepos && !t.Moved() {
			return true
		}
	}
	return false
}
