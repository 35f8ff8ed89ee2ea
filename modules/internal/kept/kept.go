// Package kept is the record of what the backup step has taken: which files of a
// standalone server, how they were, and where their copies lie. It compares the
// files with the record, so that whoever changes the server (backup, cut-over,
// rollback) asks the same question. It never changes a file of the server.
//
// The record lies in a folder of the service user's. It names files of a fixed
// list only; one that names another file is refused as a whole.
package kept

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/regular"
)

// Kinds of sources.
const (
	Database = "database" // a SQLite file or what belongs to it
	Key      = "key"      // a small secret file
	Alias    = "alias"
	Config   = "config" // config.json: compared, never restored from here
)

// Source is one file as it was when the backup was taken.
type Source struct {
	Path    string    `json:"path"` // below the home; absolute for the one file beside it
	Kind    string    `json:"kind"`
	Copy    string    `json:"copy,omitempty"`   // below the state folder; config.json has none
	Absent  bool      `json:"absent,omitempty"` // it was not there, which is worth knowing
	Size    int64     `json:"size"`
	Mode    uint32    `json:"mode"`
	UID     int       `json:"uid"`
	GID     int       `json:"gid"`
	Time    time.Time `json:"mtime"`
	Changed time.Time `json:"ctime,omitzero"`
	Inode   uint64    `json:"inode,omitempty"`
	SHA256  string    `json:"sha256,omitempty"`
}

// Record is <state>/backup.json. It is written last: without it there is no backup.
type Record struct {
	Time    time.Time `json:"time"` // before the first source was read
	Home    string    `json:"home"` // for readers; paths are looked up below the home of the call
	Sources []Source  `json:"sources"`
}

// Present counts the sources that were there and have a copy, and their size;
// an empty kind counts all.
func (r Record) Present(kind string) (files int, bytes int64) {
	for _, s := range r.Sources {
		if !s.Absent && s.Copy != "" && (kind == "" || s.Kind == kind) {
			files++
			bytes += s.Size
		}
	}
	return files, bytes
}

// Read answers with ok false where no backup was completed. The error is a
// Problem.
func Read(p *Places) (r Record, ok bool, err error) {
	state := p.common.State()
	raw, err := regular.Read(state.Backup())
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, false, nil
	}
	fix := "make it readable for the user that runs this; it says what the server's files were"
	if err == nil {
		if err = json.Unmarshal(raw, &r); err == nil {
			err = p.valid(r)
		}
		fix = "it says what the server's files were; if it is lost, rename it and the folders snapshot and aliases beside it, and run again"
	}
	if err != nil {
		return Record{}, false, problem.Problem{What: "read the record of the backup: " + err.Error(), At: state.Backup(), Fix: fix}
	}
	return r, true, nil
}

// Write replaces the record.
func (r Record) Write(state home.State) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode record of the backup: %w", err)
	}
	return durable.Write(state.Backup(), append(raw, '\n'), nil)
}

// valid refuses a record that names a file which no backup takes, or a copy at
// another place than ours.
func (p *Places) valid(r Record) error {
	known := map[File]bool{{p.otherAt, Key}: true} // also where its folder has gone since
	for _, f := range p.Fixed() {
		known[f] = true
	}
	for _, s := range r.Sources {
		f := s.file()
		if !known[f] && (s.Kind != Alias || !aliasPath(s.Path)) || s.Path == "" {
			return fmt.Errorf("%q is no file that a backup takes", s.Path)
		}
		if s.Absent && s.Copy != "" || !s.Absent && s.Copy != f.CopyOf() {
			return fmt.Errorf("the copy of %q lies at %q", s.Path, s.Copy)
		}
	}
	return nil
}
