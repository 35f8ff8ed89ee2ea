// Package journal records what real runs have done, one JSON object a line,
// each on disk before the call returns. A half-written last line (a power cut)
// is ignored by readers.
package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/printable"
	"cidx-cluster/modules/internal/regular"
)

// Entry is one event.
type Entry struct {
	Time   time.Time      `json:"time"`
	Module string         `json:"module"` // e.g. "cidx_config"
	Event  string         `json:"event"`  // e.g. "linked", "done"
	Data   map[string]any `json:"data,omitempty"`
}

// Append adds an entry to the journal at path and syncs it. The folder is made
// with mode 0700 and its parent's owner, so that a root run does not lock out
// the service user.
func Append(path, module, event string, data map[string]any) error {
	if err := durable.MakeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	line, err := json.Marshal(Entry{Time: time.Now().UTC(), Module: module, Event: event, Data: data})
	if err != nil {
		return fmt.Errorf("journal %s %s: %w", module, event, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	defer f.Close()
	if err := endLine(f); err != nil {
		return fmt.Errorf("mend journal: %w", err)
	}
	if _, err := f.Write(append(printable.JSON(line), '\n')); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync journal: %w", err)
	}
	return nil
}

// endLine closes a torn last line, so that the next entry starts on its own.
func endLine(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, info.Size()-1); err != nil {
		return err
	}
	if last[0] == '\n' {
		return nil
	}
	_, err = f.Write([]byte("\n"))
	return err
}

// Read returns the entries in order; a journal that does not exist has none.
func Read(path string) ([]Entry, error) {
	f, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	defer f.Close()
	var entries []Entry
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 64<<10), 16<<20)
	for lines.Scan() {
		var e Entry
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Event != "" {
			entries = append(entries, e)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read journal %s: %w", path, err)
	}
	return entries, nil
}

// Last returns the newest entry of module, or false.
func Last(entries []Entry, module string) (Entry, bool) {
	for i := len(entries) - 1; i >= 0; i-- {
		if entries[i].Module == module {
			return entries[i], true
		}
	}
	return Entry{}, false
}
