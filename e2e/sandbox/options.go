package sandbox

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"cidx-cluster/e2e/seed"
)

// Options say what to stage. Dir is required; Defaults gives the rest.
type Options struct {
	Dir  string       // folder of the sandbox; must be empty or absent
	Seed seed.Options // the home to make; Home, Host and Port are chosen here
	Bin  string       // folder of cidx-standin
	// Cache keeps a PostgreSQL cluster ready to be copied; "" makes one anew.
	Cache string
	// ShareBytes and ShareInodes bound the share, as a full volume would.
	ShareBytes, ShareInodes int64
	PlainShare              bool     // the share is a folder, not a mount
	NoJoin                  bool     // leave config.json standalone: cluster-join.sh was not run
	NoSchema                bool     // leave the database empty
	Fsync                   bool     // PostgreSQL syncs, as a real one; tests do without
	NoServer                bool     // do not start the stand-in
	User                    string   // account that owns the home and runs the server; root only
	Standin                 []string // further flags of the stand-in
	// Owner is the process on whose behalf the sandbox exists: Sweep removes it
	// once that process is gone. 0 keeps it until Down.
	Owner int
}

// Defaults are a small home on a share with ample room.
func Defaults() Options {
	o := Options{Seed: seed.Defaults(), ShareBytes: 1 << 30, ShareInodes: 1 << 20}
	o.Seed.FilesPerRepo = 20
	return o
}

func (o *Options) check() error {
	if o.Dir == "" {
		return fmt.Errorf("sandbox: no folder given")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return fmt.Errorf("resolve sandbox folder: %w", err)
	}
	o.Dir = dir
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("sandbox folder %s is not empty: run cidx-sandbox down -dir %s, or choose another", dir, dir)
	}
	if o.User != "" && os.Geteuid() != 0 {
		return fmt.Errorf("sandbox: running the server as %q needs root", o.User)
	}
	return nil
}

// Flags declares the options that an operator or a scenario may choose.
func Flags(f *flag.FlagSet, o *Options) {
	f.StringVar(&o.Seed.Layout, "layout", o.Seed.Layout, "real, or assumed as in the original request")
	f.IntVar(&o.Seed.Repos, "repos", o.Seed.Repos, "golden repositories besides cidx-meta")
	f.IntVar(&o.Seed.Rows, "rows", o.Seed.Rows, "rows of an ordinary table")
	f.IntVar(&o.Seed.Events, "events", o.Seed.Events, "rows of each large table (default five times -rows)")
	f.IntVar(&o.Seed.FilesPerRepo, "files-per-repo", o.Seed.FilesPerRepo, "files of a base clone besides .git")
	f.IntVar(&o.Seed.Snapshots, "snapshots", o.Seed.Snapshots, "snapshots per repository, 1 to 3")
	f.IntVar(&o.Seed.Users, "users", o.Seed.Users, "accounts")
	f.Uint64Var(&o.Seed.Random, "random", o.Seed.Random, "seed of everything invented")
	f.Int64Var(&o.ShareBytes, "share-bytes", o.ShareBytes, "size of the share")
	f.Int64Var(&o.ShareInodes, "share-inodes", o.ShareInodes, "files that fit on the share")
	f.BoolVar(&o.PlainShare, "plain-share", false, "make the share a folder, not a mount")
	f.BoolVar(&o.NoJoin, "no-join", false, "do not run what cluster-join.sh does")
	f.BoolVar(&o.NoSchema, "no-schema", false, "leave the database empty")
	f.BoolVar(&o.NoServer, "no-server", false, "do not start the server")
	f.BoolVar(&o.Fsync, "fsync", false, "let PostgreSQL sync, as a real one does")
	f.StringVar(&o.User, "user", "", "`account` that owns the home and runs the server (root only)")
	f.Func("standin", "a further `flag` of the stand-in, e.g. -standin=-quiet; may be repeated", func(v string) error {
		o.Standin = append(o.Standin, v)
		return nil
	})
}
