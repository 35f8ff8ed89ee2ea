package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/jsonfile"
	"cidx-cluster/modules/internal/repath"
)

// Kinds of sources.
const (
	kindDatabase = "database" // a SQLite file or what belongs to it
	kindKey      = "key"      // a small secret file
	kindAlias    = "alias"
)

// source is one file as it was when the backup was taken.
type source struct {
	Path   string    `json:"path"` // below the home, else absolute
	Kind   string    `json:"kind"`
	Copy   string    `json:"copy,omitempty"`   // below the state folder
	Absent bool      `json:"absent,omitempty"` // it was not there, which is worth knowing
	Size   int64     `json:"size"`
	Mode   uint32    `json:"mode"`
	UID    int       `json:"uid"`
	GID    int       `json:"gid"`
	Time   time.Time `json:"mtime"`
	SHA256 string    `json:"sha256,omitempty"`
}

// manifest is <state>/backup.json. It is written last: without it there is no backup.
type manifest struct {
	Time    time.Time `json:"time"`
	Home    string    `json:"home"`
	Sources []source  `json:"sources"`
}

// at is where a source lies.
func (m manifest) at(s source) string {
	if filepath.IsAbs(s.Path) {
		return s.Path
	}
	return filepath.Join(m.Home, s.Path)
}

// present counts the sources that were there, and their size.
func (m manifest) present(kind string) (files int, bytes int64) {
	for _, s := range m.Sources {
		if !s.Absent && (kind == "" || s.Kind == kind) {
			files++
			bytes += s.Size
		}
	}
	return files, bytes
}

// readManifest answers with ok false where no backup was completed.
func readManifest(state cidx.State) (m manifest, ok bool, err error) {
	raw, err := os.ReadFile(state.Backup())
	if errors.Is(err, fs.ErrNotExist) {
		return manifest{}, false, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	if err != nil {
		return manifest{}, false, cidx.Problem{What: "read the record of the backup: " + err.Error(), At: state.Backup(), Fix: "it says what the sources were; if it is lost, rename it and the folders snapshot and aliases beside it, and run again"}
	}
	return m, true, nil
}

func (m manifest) write(state cidx.State) error {
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode record of the backup: %w", err)
	}
	return jsonfile.WriteAtomic(state.Backup(), append(raw, '\n'), nil)
}

// difference is a source that is not as recorded.
type difference struct {
	Path string `json:"path"`
	What string `json:"what"` // "changed", "missing", "new"
	of   source
}

// compare hashes every source again.
func (m manifest) compare() ([]difference, error) {
	differences := []difference{}
	for _, s := range m.Sources {
		what, err := s.compare(m.at(s))
		if err != nil {
			return nil, err
		}
		if what != "" {
			differences = append(differences, difference{Path: m.at(s), What: what, of: s})
		}
	}
	return differences, nil
}

// compare answers "" where the file at path is as recorded. An empty -wal is as
// good as none: SQLite makes and removes it at will.
func (s source) compare(path string) (string, error) {
	info, err := os.Lstat(path)
	gone := errors.Is(err, fs.ErrNotExist)
	if err != nil && !gone {
		return "", fmt.Errorf("compare: %w", err)
	}
	empty := gone || info.Size() == 0
	switch {
	case s.Absent && gone, s.Absent && empty && s.Kind == kindDatabase, gone && s.Size == 0 && s.Kind == kindDatabase:
		return "", nil
	case s.Absent:
		return "new", nil
	case gone:
		return "missing", nil
	case info.Size() != s.Size:
		return "changed", nil
	}
	sum, err := hashFile(path)
	if err != nil {
		return "", err
	}
	if sum != s.SHA256 {
		return "changed", nil
	}
	return "", nil
}

// located names the alias files where the trees are now: after the cut-over in
// the folders that were set aside. Nothing is looked for on the share.
func (m manifest) located(c cidx.Common) manifest {
	moves := map[string]string{}
	for _, t := range cidx.AllTrees(c.Home, "") {
		moves[t.Link] = t.Local
	}
	sources := make([]source, len(m.Sources))
	for i, s := range m.Sources {
		sources[i] = s
		if s.Kind == kindAlias {
			sources[i].Path = repath.Rewrite(m.at(s), moves)
		}
	}
	m.Sources = sources
	return m
}
