package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/journal"
)

// Names of cidx_config's journal entries. Each carries "state": ToCluster,
// ToStandalone, ToNode or Apart.
const (
	ConfigModule = "cidx_config"
	ConfigBegun  = "begun" // also "config_was": storage_mode before the change
	ConfigDone   = "done"
	ConfigLinked = "linked" // also "link", "target", "aside": absolute paths
	ConfigFreed  = "unlinked"
	ConfigUndone = "undone" // what was begun, or had just been done, is taken back

	ToCluster    = "cluster"
	ToStandalone = "standalone"
	ToNode       = "node"  // a further node of a cluster that another server was migrated to
	Apart        = "apart" // no node any more
)

// Names of cidx_database's journal entries.
const (
	DatabaseModule     = "cidx_database"
	DatabaseWarm       = "warm" // rows were loaded while the server ran: no load
	DatabaseLoaded     = "loaded"
	DatabaseRolledBack = "rolled-back" // PostgreSQL knows that the load is given up, or holds none
	DatabaseUnreached  = "unreached"   // a rollback could not tell PostgreSQL
)

// BackupModule names the entries of cidx_backup.
const BackupModule = "cidx_backup"

// ServiceModule and ServiceStarting name the entry that cidx_service makes before
// it starts the server.
const (
	ServiceModule   = "cidx_service"
	ServiceStarting = "starting"
)

// SaltMade is the entry of cidx_database before it makes the salt file of a
// server that has none: "sha256" of its content.
const SaltMade = "salt"

// Standing is where a home stands on its way to the cluster, as the state
// folder tells: the journal, the hold and the record of the units.
type Standing struct {
	Entries []journal.Entry
	Cutover string // last cut-over that was completed: "" or one of the states above
	Begun   string // a cut-over that was begun and not completed: "" or one of the states above
	Held    bool   // the server is kept from starting
	Stopped bool   // the units were stopped and not yet released
	Loaded  bool   // PostgreSQL holds, or may hold, a load that is not marked there as given up
	Source  string // source_id of the last load that the journal tells of
	Used    bool   // a cut-over was completed since that load, so that the cluster may have written
	Started bool   // the server was told to start since the last cut-over that was completed

	// Accepted is the record of the acceptance; nil before it.
	Accepted *Acceptance
	// Forgotten: a server that was migrated once, by its links and its
	// config.json.pre-cluster, of which the state folder tells nothing any more.
	Forgotten bool
	// Stray: the repositories are links and the journal knows of no run that could
	// have made them. It is a migrated server of which everything was removed, a
	// further node, or one that has had them on the share from the beginning.
	Stray bool
}

// Standing reads the state folder, and the folder of hold and record where root
// has its own.
func (c Common) Standing() (Standing, error) {
	state := c.State()
	entries, err := journal.Read(state.Journal())
	if err != nil {
		return Standing{}, err
	}
	s := Standing{Entries: entries}
	before := Standing{} // when the present attempt was begun
	for _, e := range entries {
		s.read(e, &before)
	}
	if s.Accepted, err = state.accepted(); err != nil {
		return s, err
	}
	switch {
	case s.Accepted != nil && s.Cutover == "":
		s.Cutover = ToCluster // the journal is lost
	case s.Accepted == nil && !worked(entries) && c.linked():
		s.Forgotten = c.keptAside()
		s.Stray = !s.Forgotten
	}
	for _, place := range []State{state, c.Holds()} {
		held, err := durable.Exists(place.Hold())
		if err != nil {
			return s, err
		}
		stopped, err := durable.Exists(place.Units())
		if err != nil {
			return s, err
		}
		s.Held, s.Stopped = s.Held || held, s.Stopped || stopped
	}
	return s, nil
}

// read takes one entry in.
func (s *Standing) read(e journal.Entry, before *Standing) {
	direction, _ := e.Data["state"].(string)
	switch e.Module + " " + e.Event {
	case ConfigModule + " " + ConfigBegun:
		if s.Begun != direction {
			*before = *s
		}
		s.Begun = direction
	case ConfigModule + " " + ConfigDone:
		s.Cutover, s.Begun, s.Started = direction, "", false
		s.Used = s.Used || direction == ToCluster
	case ConfigModule + " " + ConfigUndone:
		// A rollback that is undone has given the load up all the same.
		if direction == ToCluster || direction == ToNode {
			s.Cutover, s.Begun, s.Used = before.Cutover, "", before.Used
		}
	case ServiceModule + " " + ServiceStarting:
		s.Started = true
	case DatabaseModule + " " + DatabaseLoaded:
		s.Loaded, s.Used = true, false
		s.Source, _ = e.Data["source_id"].(string)
	case DatabaseModule + " " + DatabaseUnreached:
		s.Loaded, s.Source = true, "" // given up here, and not there
	case DatabaseModule + " " + DatabaseRolledBack:
		s.Loaded = false
	}
}

// Unfinished reports whether a run was interrupted between the stop of the
// server and the release of its units, or within a cut-over.
func (s Standing) Unfinished() bool { return s.Held || s.Stopped || s.Begun != "" }

// StoppedSince is when a run has stopped the server that none has started since;
// nil where there is no such stop.
func (s Standing) StoppedSince() *time.Time {
	var since *time.Time
	for _, e := range s.Entries {
		if e.Module != ServiceModule {
			continue
		}
		switch e.Event {
		case "stopped":
			since = &e.Time
		case ServiceStarting, "released":
			since = nil
		}
	}
	return since
}

// Migrated reports whether the last cut-over that was completed was to the cluster,
// and none was begun since.
func (s Standing) Migrated() bool { return s.Forgotten || s.Cutover == ToCluster && s.Begun == "" }

// Node reports whether this home was added to a cluster as a further node.
func (s Standing) Node() bool { return s.Cutover == ToNode && s.Begun == "" }

// Since returns the entries after the last one of module with that event; all
// of them where there is none.
func (s Standing) Since(module, event string) []journal.Entry {
	for i := len(s.Entries) - 1; i >= 0; i-- {
		if s.Entries[i].Module == module && s.Entries[i].Event == event {
			return s.Entries[i+1:]
		}
	}
	return s.Entries
}

// Last is the last entry of module with that event.
func (s Standing) Last(module, event string) (last journal.Entry, ok bool) {
	for _, e := range s.Entries {
		if e.Module == module && e.Event == event {
			last, ok = e, true
		}
	}
	return last, ok
}

// LinkState is what lies at a tree's link.
type LinkState string

// What a tree's link can be.
const (
	LinkFolder  LinkState = "folder"  // the standalone folder itself
	LinkInPlace LinkState = "linked"  // leads to the tree's folder on the share
	LinkMissing LinkState = "missing" // nothing there: a cut-over was interrupted
	LinkForeign LinkState = "foreign" // leads elsewhere
	LinkOther   LinkState = "other"   // a file or special file
)

// LinkState looks at the tree's link without following it onto the share,
// except where it is a link or a folder already (then the share answers).
func (t Tree) LinkState() (LinkState, error) {
	info, err := os.Lstat(t.Link)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return LinkMissing, nil
	case err != nil:
		return "", fmt.Errorf("look at link: %w", err)
	case info.Mode()&fs.ModeSymlink != 0:
		return t.symlinkState()
	case !info.IsDir():
		return LinkOther, nil
	}
	// A bind mount of the share's folder is as good as a link to it.
	if target, err := os.Stat(t.Target); err == nil && os.SameFile(info, target) {
		return LinkInPlace, nil
	}
	return LinkFolder, nil
}

func (t Tree) symlinkState() (LinkState, error) {
	to, err := os.Readlink(t.Link)
	if err != nil {
		return "", fmt.Errorf("read link: %w", err)
	}
	if to == t.Target {
		return LinkInPlace, nil // also while the share is away
	}
	here, err := os.Stat(t.Link)
	if err != nil {
		return LinkForeign, nil
	}
	if there, err := os.Stat(t.Target); err == nil && os.SameFile(here, there) {
		return LinkInPlace, nil
	}
	return LinkForeign, nil
}

// HoldUpdates is the file whose existence keeps the updater, the watchdog and
// their timers from starting. It outlives Hold: they rest until the migration
// is accepted.
func (s State) HoldUpdates() string { return s.Path("hold-updates") }

// Backup is the record of what was backed up: sources, sizes, hashes.
func (s State) Backup() string { return s.Path("backup.json") }
