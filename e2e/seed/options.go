package seed

import (
	"errors"
	"fmt"
	"path/filepath"
)

// The two places where a home can keep its golden repositories: CIDX 11.79
// uses data/golden-repos; the request for the migration assumed golden-repos
// and .versioned directly below the home.
const (
	LayoutReal    = "real"
	LayoutAssumed = "assumed"
)

// Options say what home to make and how much goes into it.
type Options struct {
	Home         string // data directory of the server; must be empty or absent
	Layout       string // LayoutReal or LayoutAssumed
	Repos        int    // golden repositories, cidx-meta not counted
	Rows         int    // rows of an ordinary table
	Events       int    // rows of each large table; 0 means five times Rows
	FilesPerRepo int    // files of one base clone, .git not counted
	Snapshots    int    // snapshots per refreshed repository, 1 to 3
	Users        int    // accounts, at least 6
	Random       uint64 // seed of everything invented
	Host         string // host in launch.json
	Port         int    // port in launch.json; 0 leaves launch.json away
}

// Defaults are the options of a home that is made in a few seconds.
func Defaults() Options {
	return Options{Layout: LayoutReal, Repos: 12, Rows: 40, FilesPerRepo: 60,
		Snapshots: 2, Users: 8, Random: 1, Host: "127.0.0.1"}
}

func (o *Options) check() error {
	var problems []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	refuse(o.Home == "", "home: missing")
	refuse(o.Layout != LayoutReal && o.Layout != LayoutAssumed, "layout: neither real nor assumed: %q", o.Layout)
	refuse(o.Repos < 1, "repos: below 1: %d", o.Repos)
	refuse(o.Rows < 1, "rows: below 1: %d", o.Rows)
	refuse(o.Events < 0, "events: negative: %d", o.Events)
	refuse(o.FilesPerRepo < 10, "files-per-repo: below 10: %d", o.FilesPerRepo)
	refuse(o.Snapshots < 1 || o.Snapshots > 3, "snapshots: not 1 to 3: %d", o.Snapshots)
	refuse(o.Users < 6, "users: below 6: %d", o.Users)
	if err := errors.Join(problems...); err != nil {
		return err
	}
	home, err := filepath.Abs(o.Home)
	if err != nil {
		return fmt.Errorf("resolve home: %w", err)
	}
	o.Home = home
	if o.Events == 0 {
		o.Events = 5 * o.Rows
	}
	return nil
}
