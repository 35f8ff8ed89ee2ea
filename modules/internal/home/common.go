// Package home reads a CIDX server once for every module: its configuration, layout
// and trees, the spellings of its paths, its alias files, and what this project keeps
// beside it (the state folder, and how far a migration has come by it). It never writes.
package home

import (
	"path/filepath"

	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/reach"
)

// Common are the arguments that every module takes; embed it.
type Common struct {
	Home        string `arg:"home" kind:"path" required:"true"`
	Share       string `arg:"share" kind:"path"`
	StateDir    string `arg:"state_dir" kind:"path"`
	ServiceUser string `arg:"service_user"`
	Step        string `arg:"step"`

	Settings map[string]any `arg:"settings"`
}

// User is the server's user: the operator's word, else the owner of the home. The
// error is a Problem.
func (c Common) User() (reach.Identity, error) {
	user, err := reach.Service(c.ServiceUser, c.Home)
	if err != nil {
		err = problem.Problem{What: err.Error(), At: "cidx_service_user", Fix: "set cidx_service_user to the user that runs the server"}
	}
	return user, err
}

// State returns the state folder.
func (c Common) State() State {
	if c.StateDir != "" {
		return State(c.StateDir)
	}
	return State(filepath.Join(c.Home, ".cluster-migrate"))
}

// State is the path of the state folder; its methods name what lies in it.
type State string

// Path joins elements below the state folder.
func (s State) Path(elem ...string) string {
	return filepath.Join(append([]string{string(s)}, elem...)...)
}

// Journal is the file of events of real runs, one JSON object a line.
func (s State) Journal() string { return s.Path("journal.jsonl") }

// Hold is the file whose existence forbids every unit to start the server.
func (s State) Hold() string { return s.Path("hold") }

// ClusterConfig is the configuration that cluster-join left, kept for a second
// migration after a rollback.
func (s State) ClusterConfig() string { return s.Path("config.json.cluster") }

// Snapshot is the private copy of a file of the home, by its path below the home.
func (s State) Snapshot(rel string) string { return s.Path("snapshot", rel) }

// Warm is the folder of the databases as they were loaded while the server ran.
func (s State) Warm(elem ...string) string { return s.Path(append([]string{"warm"}, elem...)...) }

// Aliases is the folder of the original alias files.
func (s State) Aliases() string { return s.Path("aliases") }

// Files is the folder of the copy's records.
func (s State) Files() string { return s.Path("files") }

// Manifest remembers every folder of one part of the copy: cidx.GoldenRepos, cidx.Versioned
// or cidx.ActivatedRepos.
func (s State) Manifest(part string) string { return filepath.Join(s.Files(), part+".manifest") }

// Units is the record of the units' states before the first change.
func (s State) Units() string { return s.Path("service.json") }

// Database is the record of what was loaded.
func (s State) Database() string { return s.Path("database.json") }

// Report is the folder of reports.
func (s State) Report(elem ...string) string {
	return s.Path(append([]string{"report"}, elem...)...)
}
