package files

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/tree"
)

// meta is what is remembered of a part beside its manifest, in
// <state>/files/<part>.json.
type meta struct {
	Source  string            `json:"source"`
	Target  string            `json:"target"`
	Open    bool              `json:"open"`             // a pass has begun and not ended
	Boot    string            `json:"boot,omitempty"`   // of the machine, when it began
	Root    uint64            `json:"root"`             // inode of the target: another one is another copy
	Time    time.Time         `json:"time"`             // of the last pass
	Grain   int64             `json:"time_granularity"` // of the share, in ns
	Speed   speed             `json:"speed"`
	Git     map[string]bool   `json:"git,omitempty"`      // repositories checked and unchanged since
	GitTold map[string]string `json:"git_told,omitempty"` // what there was to tell of them
}

func metaPath(s home.State, part string) string { return filepath.Join(s.Files(), part+".json") }

// readMeta returns an empty meta where there is none or a damaged one: then the
// copy is looked at instead of believed.
func readMeta(s home.State, part string) (meta, error) {
	var m meta
	raw, err := os.ReadFile(metaPath(s, part))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, fmt.Errorf("read record of the copy: %w", err)
	}
	if json.Unmarshal(raw, &m) != nil {
		return meta{}, nil
	}
	return m, nil
}

// write replaces the record in one step.
func (m meta) write(s home.State, part string) error {
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode record of the copy: %w", err)
	}
	if err := durable.Write(metaPath(s, part), append(raw, '\n'), nil); err != nil {
		return fmt.Errorf("write record of the copy: %w", err)
	}
	return nil
}

// trust says how far a part's manifest may be believed.
type trust int

const (
	trusted   trust = iota
	doubted         // look at the share again, but deletions may be followed
	worthless       // it tells of another copy
)

// bootID is another one after each start of the machine; "" where the kernel
// does not tell.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// trustIn compares the record with what is there. A cut-over since the last pass
// means that the cluster may have written to the share.
func trustIn(s home.State, p *part, m meta) (t trust, err error) {
	if m.Source != p.source || m.Target != p.target {
		return worthless, nil
	}
	root, err := tree.Lstat(atCwd, p.target)
	if err != nil || !root.IsDir() || root.Ino != m.Root {
		return worthless, nil
	}
	entries, err := journal.Read(s.Journal())
	if err != nil {
		return doubted, err
	}
	if m.Open && m.Boot != bootID() { // what it wrote may not have reached the disk
		return doubted, nil
	}
	if last, ok := journal.Last(entries, home.ConfigModule); ok && last.Time.After(m.Time) {
		return doubted, nil
	}
	return trusted, nil
}
