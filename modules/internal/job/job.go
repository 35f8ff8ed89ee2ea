// Package job runs modules as detached processes that outlive the connection
// that started them, and lets a later connection follow them.
//
// A job is a folder <helper dir>/jobs/<id> with events.jsonl (masked events,
// appended), reply.json (made by rename, last of all), job.json (what runs),
// pid, and lock, on which the living process holds a flock: whoever can take it
// knows that the process is dead. Arguments travel through a pipe and are
// never written.
//
// Promises: one living job per module, home and mode (real or rehearsal); real
// jobs of one home run one after the other; and while one run holds a home's
// lease, no real job of another one does anything (see Turn and Lease).
package job

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/scratch"
)

// Store is the helper's folder on a node.
type Store struct {
	dir string
}

// Open finds the helper's folder, $CIDX_HELPER_DIR or ~/.cache/cidx-helper, and
// makes it (0700).
func Open() (Store, error) {
	dir := os.Getenv(scratch.HelperFolder)
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return Store{}, problem.Problem{
				What: "no home folder: " + err.Error(), At: "helper",
				Fix: "set cidx_helper_dir to a folder that the user who runs the migration can write",
			}
		}
		dir = filepath.Join(home, ".cache", "cidx-helper")
	}
	return At(dir)
}

// At is Open for a folder given.
func At(dir string) (Store, error) {
	s := Store{dir: dir}
	if err := os.MkdirAll(s.jobs(), 0o700); err != nil {
		return Store{}, problem.Problem{
			What: err.Error(), At: dir,
			Fix: "set cidx_helper_dir to a folder that the user who runs the migration can write",
		}
	}
	return s, nil
}

// Request says what is to run.
type Request struct {
	Module string    `json:"module"`
	Home   string    `json:"home"`  // the server's data directory
	State  string    `json:"state"` // its state folder
	Check  bool      `json:"check"` // a rehearsal
	Hash   string    `json:"hash"`  // of the arguments, see Fingerprint
	Time   time.Time `json:"time"`  // of the start
	Run    Run       `json:"run"`   // who asks
	Lists  bool      `json:"lists"` // the module itself tells what is wrong with the state folder, and writes nothing there
}

// key names what may live only once.
func (r Request) key() string {
	return fmt.Sprintf("%s|%s|%t", r.Module, r.Home, r.Check)
}

// NewRequest reads home, mode and run from a module's arguments. Decoding them
// properly is the module's business; what has the wrong type counts as absent.
func NewRequest(module string, arguments map[string]any) Request {
	r := Request{Module: module, Time: time.Now().UTC(), Hash: Fingerprint(arguments)}
	c := home.Common{}
	c.Home, _ = arguments["home"].(string)
	c.StateDir, _ = arguments["state_dir"].(string)
	r.Home, r.State = filepath.Clean(c.Home), filepath.Clean(string(c.State()))
	r.Check, _ = arguments["_ansible_check_mode"].(bool)
	if raw, err := json.Marshal(arguments[RunArgument]); err == nil {
		_ = json.Unmarshal(raw, &r.Run) // an ill-formed run is an anonymous one
	}
	return r
}

// Fingerprint is a digest of what decides whether two calls are the same: the
// module's arguments and the mode, nothing else of Ansible's.
func Fingerprint(arguments map[string]any) string {
	same := map[string]any{}
	for name, v := range arguments {
		internal := strings.HasPrefix(name, "_ansible_") || name == RunArgument
		if !internal || name == "_ansible_check_mode" || name == "_ansible_diff" {
			same[name] = v
		}
	}
	raw, _ := json.Marshal(same) // decoded JSON always encodes
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// newID is a name that sorts by time.
func newID(r Request) string {
	tail := make([]byte, 3)
	_, _ = rand.Read(tail) // never fails since Go 1.24
	return fmt.Sprintf("%s-%s-%s", r.Module, r.Time.Format("20060102T150405"), hex.EncodeToString(tail))
}

func (s Store) jobs() string { return filepath.Join(s.dir, "jobs") }

// folder is a job's folder; an id with a path in it is nobody's.
func (s Store) folder(id string) (string, error) {
	if id == "" || id != filepath.Base(id) || strings.HasPrefix(id, ".") {
		return "", problem.Problem{What: fmt.Sprintf("no job %q", id), At: s.jobs(), Fix: "run the playbook again"}
	}
	return filepath.Join(s.jobs(), id), nil
}

// Lists is the folder for complete lists of a home's rehearsals, made if it is
// not there.
func (s Store) Lists(home string) (string, error) {
	dir := s.home(home, "lists")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make folder for lists: %w", err)
	}
	return dir, nil
}

// home is a file of a home's own, e.g. "lists": named by a digest, because a
// path cannot be a file name.
func (s Store) home(path, suffix string) string {
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(s.dir, "homes", hex.EncodeToString(sum[:8])+"."+suffix)
}
