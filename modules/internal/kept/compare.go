package kept

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"
	"time"

	"cidx-cluster/modules/internal/beneath"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/regular"
)

// What a Difference can be.
const (
	Changed = "changed"
	Missing = "missing"
	New     = "new"
)

// Difference is a source that is not as recorded.
type Difference struct {
	Path string `json:"path"` // absolute
	What string `json:"what"` // Changed, Missing or New
	Of   Source `json:"-"`
}

// File is the file that differs.
func (d Difference) File() File { return d.Of.file() }

// Compare looks at every source again, and for alias files that are new.
func (r Record) Compare(p *Places) ([]Difference, error) {
	differences := []Difference{}
	known := map[string]bool{}
	for _, s := range r.Sources {
		known[s.Path] = true
		what, err := r.compare(p, s)
		if err != nil {
			return nil, err
		}
		if what != "" {
			differences = append(differences, Difference{Path: p.At(s.file()), What: what, Of: s})
		}
	}
	aliases, err := p.Aliases()
	if err != nil {
		return nil, err
	}
	for _, f := range aliases {
		if !known[f.Path] {
			differences = append(differences, Difference{Path: p.At(f), What: New, Of: Source{Path: f.Path, Kind: Alias, Absent: true}})
		}
	}
	return differences, nil
}

// compare answers "" where a source is as recorded. An empty -wal is as good as
// none: SQLite makes and removes it at will.
func (r Record) compare(p *Places, s Source) (string, error) {
	if s.Kind == Config {
		now, err := p.DescribeConfig()
		if err == nil && (now.SHA256 != s.SHA256 || now.Absent != s.Absent) {
			return Changed, nil
		}
		return "", err
	}
	dir, rel := p.Where(s.file())
	info, err := dir.Lstat(rel)
	gone := errors.Is(err, fs.ErrNotExist) || s.Kind == Alias && errors.Is(err, beneath.ErrLink)
	if err != nil && !gone {
		return "", problem.Problem{What: "compare with the backup: " + err.Error(), At: dir.Path(rel),
			Fix: "put the file back where the server expects it, readable for the user that runs this"}
	}
	empty := gone || info.Size() == 0
	switch {
	case s.Absent && gone, s.Absent && empty && s.Kind == Database, gone && s.Size == 0 && s.Kind == Database:
		return "", nil
	case s.Absent:
		return New, nil
	case gone:
		return Missing, nil
	case !info.Mode().IsRegular() || info.Size() != s.Size:
		return Changed, nil
	case r.untouched(s, info):
		return "", nil
	}
	sum, err := Hash(dir, rel)
	if err == nil && sum != s.SHA256 {
		return Changed, nil
	}
	return "", err
}

// untouched reports whether a file's numbers prove that nobody has written to
// it. A file that had been written just before the backup may be written again
// within the same tick of the clock, so those are read. Linux ticks 100 times a
// second or more often; a file system that keeps whole seconds or milliseconds
// shows no smaller digits.
func (r Record) untouched(s Source, info fs.FileInfo) bool {
	now, tick := Describe(info), 2*time.Second
	if s.Changed.Nanosecond()%int(time.Millisecond) != 0 {
		tick = 100 * time.Millisecond
	}
	return s.Inode != 0 && s.Inode == now.Inode && s.Time.Equal(now.Time) && s.Changed.Equal(now.Changed) &&
		s.Changed.Before(r.Time.Add(-tick))
}

// Describe is a source without path and content.
func Describe(info fs.FileInfo) Source {
	s := Source{Size: info.Size(), Mode: uint32(info.Mode().Perm()), Time: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.UID, s.GID, s.Inode = int(sys.Uid), int(sys.Gid), sys.Ino
		s.Changed = time.Unix(sys.Ctim.Sec, sys.Ctim.Nsec)
	}
	return s
}

// DescribeConfig is config.json as it is now. An operator may keep it elsewhere,
// behind a link.
func (p *Places) DescribeConfig() (Source, error) {
	s := Source{Path: "config.json", Kind: Config}
	raw, err := regular.Read(p.At(s.file()))
	if errors.Is(err, fs.ErrNotExist) {
		s.Absent = true
		return s, nil
	}
	if err != nil {
		return s, problem.Problem{What: err.Error(), At: p.At(s.file()), Fix: "make the file readable for the user that runs this"}
	}
	sum := sha256.Sum256(raw)
	s.Size, s.SHA256 = int64(len(raw)), hex.EncodeToString(sum[:])
	return s, nil
}

// Hash is the SHA-256 of the file at rel, in hex.
func Hash(dir *beneath.Folder, rel string) (string, error) {
	f, err := dir.Read(rel)
	if err != nil {
		return "", fmt.Errorf("hash: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("hash %s: %w", f.Name(), err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Copies proves that the copies of sources are what was recorded; each that is
// not is a problem.
func (p *Places) Copies(sources []Source) (problem.List, error) {
	var problems problem.List
	for _, s := range sources {
		if s.Copy == "" {
			continue
		}
		state, err := p.State()
		if err != nil {
			return nil, err
		}
		sum, err := Hash(state, s.Copy)
		what := ""
		switch {
		case errors.Is(err, fs.ErrNotExist):
			what = "the copy is gone"
		case err != nil:
			what = "the copy cannot be read (" + err.Error() + ")"
		case sum != s.SHA256:
			what = "the copy is not what was recorded"
		}
		if what != "" {
			problems = append(problems, problem.Problem{
				What: what + ", so " + p.At(s.file()) + " cannot be restored from it", At: state.Path(s.Copy),
				Fix: "put this file back from another backup of the node",
			})
		}
	}
	return problems, nil
}
