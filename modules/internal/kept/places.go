package kept

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/beneath"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
)

// Places are the folders in which sources and copies lie, opened.
type Places struct {
	common  home.Common
	home    *beneath.Folder
	data    *beneath.Folder // of <home>/data, where that is a link to another disk
	other   *beneath.Folder // of the service user's own .jwt_secret, where that is not in the home
	otherAt string          // its path; "" where there is no such file
	otherIn string          // its path below other
	listed  bool            // its folder exists
	state   *beneath.Folder // nil until there is one
}

// File is a file that a backup takes.
type File struct {
	Path string // as in Source
	Kind string
}

// Salt is the key file that opens stored tokens.
const Salt = ".encryption_key_salt"

var keyFiles = []string{Salt, "data/mfa_key.dat", ".jwt_secret"}

// Open opens the places of a home.
func Open(c home.Common) (*Places, error) {
	p := &Places{common: c}
	var err error
	if p.home, err = beneath.Open(c.Home); err != nil {
		return nil, problem.Problem{What: err.Error(), At: c.Home,
			Fix: "name the server's data directory (server_dir) in cidx_home, and make it readable for the user that runs this"}
	}
	if info, err := p.home.Lstat("data"); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if p.data, err = beneath.Open(filepath.Join(c.Home, "data")); err != nil {
			return nil, errors.Join(problem.Problem{What: err.Error(), At: filepath.Join(c.Home, "data"),
				Fix: "mount the disk that this link leads to"}, p.Close())
		}
	}
	if err := p.openOther(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.state, err = beneath.Open(string(c.State()))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(problem.Problem{What: err.Error(), At: string(c.State()),
			Fix: "hand the folder over to the user that runs this (chown -R)"}, p.Close())
	}
	return p, nil
}

// openOther opens the place of .jwt_secret: CIDX 11.79 keeps it in the service
// user's ~/.cidx-server, wherever the home is.
func (p *Places) openOther() error {
	user, err := p.common.User()
	if err != nil || user.Home == "" {
		return nil // a user without an entry has no such folder
	}
	path := filepath.Join(user.Home, ".cidx-server")
	here, err := os.Stat(p.common.Home)
	if err != nil {
		return fmt.Errorf("look at the home: %w", err)
	}
	there, err := os.Stat(path)
	p.otherAt = filepath.Join(path, ".jwt_secret")
	switch {
	case err == nil && os.SameFile(here, there):
		p.otherAt = ""
		return nil
	case errors.Is(err, fs.ErrNotExist):
		if p.other, err = beneath.Open(user.Home); err != nil {
			p.otherAt = ""
			return nil // nor has a user without a folder
		}
		p.otherIn = ".cidx-server/.jwt_secret"
	default:
		if p.other, err = beneath.Open(path); err != nil {
			return problem.Problem{What: err.Error(), At: path,
				Fix: "make the folder readable for the user that runs this; the server keeps .jwt_secret there"}
		}
		p.otherIn, p.listed = ".jwt_secret", true
	}
	return nil
}

// OwnSecret is the name in Keys of the .jwt_secret that lies outside the home.
const OwnSecret = "~/.cidx-server/.jwt_secret"

// Keys are the paths of the server's key files, whether they are there or not, by
// their names: below the home, or OwnSecret.
func Keys(c home.Common) map[string]string {
	paths := map[string]string{}
	for _, name := range keyFiles {
		paths[name] = filepath.Join(c.Home, name)
	}
	p := &Places{common: c}
	_ = p.openOther() // what cannot be opened has its path all the same
	defer p.Close()   //nolint:errcheck // nothing was written
	if p.otherAt != "" {
		paths[OwnSecret] = p.otherAt
	}
	return paths
}

// Paths lists where the files of Fixed lie, also in a home that cannot be read.
func Paths(c home.Common) (paths []string) {
	for _, f := range (&Places{}).Fixed() {
		paths = append(paths, filepath.Join(c.Home, f.Path))
	}
	if own, ok := Keys(c)[OwnSecret]; ok {
		paths = append(paths, own)
	}
	return paths
}

// Close lets the folders go.
func (p *Places) Close() error {
	var problems []error
	for _, f := range []*beneath.Folder{p.home, p.data, p.other, p.state} {
		if f != nil {
			problems = append(problems, f.Close())
		}
	}
	return errors.Join(problems...)
}

// Fixed lists the files that a backup takes wherever they are, in a fixed order,
// whether they are there or not: a start of the server may make them.
func (p *Places) Fixed() []File {
	list := []File{}
	for _, d := range cidx.DatabaseFiles() {
		for _, path := range append([]string{d.Path}, cidx.SideFiles(d.Path)...) {
			list = append(list, File{path, Database})
		}
	}
	for _, name := range keyFiles {
		list = append(list, File{name, Key})
	}
	if p.listed {
		list = append(list, File{p.otherAt, Key})
	}
	return append(list, File{"config.json", Config})
}

// Aliases lists the alias files of the standalone folder, spelled as before the
// cut-over. Nothing is looked for on the share.
func (p *Places) Aliases() ([]File, error) {
	var list []File
	for _, t := range home.AllTrees(p.common.Home, "") {
		if t.Name != cidx.GoldenRepos || !home.IsRealFolder(t.Local) {
			continue
		}
		link, err := filepath.Rel(p.common.Home, t.Link)
		if err != nil {
			return nil, fmt.Errorf("name alias: %w", err)
		}
		aliases, err := home.Aliases(t.Local)
		if err != nil {
			return nil, err
		}
		for _, a := range aliases {
			list = append(list, File{filepath.Join(link, a.Rel), Alias})
		}
	}
	return list, nil
}

// aliasPath reports whether path can be an alias file's: <tree>/x.json or
// <tree>/aliases/x.json.
func aliasPath(path string) bool {
	tree := strings.TrimSuffix(filepath.Dir(path), "/aliases")
	return filepath.Clean(path) == path && strings.HasSuffix(path, ".json") && (tree == "data/golden-repos" || tree == "golden-repos")
}

// CopyOf is where the copy of a file lies, below the state folder.
func (f File) CopyOf() string {
	switch {
	case f.Kind == Config:
		return ""
	case f.Kind == Alias:
		return filepath.Join("aliases", f.Path)
	case filepath.IsAbs(f.Path):
		return filepath.Join("snapshot", "outside", f.Path)
	}
	return filepath.Join("snapshot", f.Path)
}

// At is the absolute path of a file now: after the cut-over the alias files are
// in the folder that was set aside.
func (p *Places) At(f File) string {
	dir, rel := p.Where(f)
	return dir.Path(rel)
}

// Where is the open folder below which a file lies now, and its path there.
func (p *Places) Where(f File) (*beneath.Folder, string) {
	path := f.Path
	if filepath.IsAbs(path) {
		return p.other, p.otherIn
	}
	if f.Kind == Alias {
		path = p.located(path)
	}
	if below, ok := strings.CutPrefix(path, "data/"); ok && p.data != nil {
		return p.data, below
	}
	return p.home, path
}

func (p *Places) located(path string) string {
	for _, t := range home.AllTrees(p.common.Home, "") {
		link, errLink := filepath.Rel(p.common.Home, t.Link)
		local, errLocal := filepath.Rel(p.common.Home, t.Local)
		if rest, ok := strings.CutPrefix(path, link+"/"); ok && errLink == nil && errLocal == nil {
			return filepath.Join(local, rest)
		}
	}
	return path
}

// State is the state folder, made where it is missing by the caller before.
func (p *Places) State() (*beneath.Folder, error) {
	if p.state != nil {
		return p.state, nil
	}
	var err error
	p.state, err = beneath.Open(string(p.common.State()))
	return p.state, err
}

func (s Source) file() File { return File{s.Path, s.Kind} }
