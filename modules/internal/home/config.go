package home

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/jsonfile"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/regular"
	"cidx-cluster/modules/internal/secret"
)

// Config is a config.json as it lies on disk. Raw is what to edit (with jsonfile):
// unknown keys and formatting have to survive.
type Config struct {
	Path        string
	Raw         []byte
	StorageMode string // "sqlite" where the key is absent, as CIDX reads it
	DSN         string // postgres_dsn, a secret
	NodeID      string // cluster.node_id
	Share       string // ontap.mount_point, else cow_daemon.mount_point
	Backend     string // clone_backend; "local" where absent
}

// Cluster reports whether this is a cluster node's configuration.
func (c Config) Cluster() bool { return c.StorageMode == cidx.ModePostgres }

// ConfigPath is where the server's configuration lies.
func (c Common) ConfigPath() string { return filepath.Join(c.Home, "config.json") }

// Config reads the server's configuration as it is now. The error is a Problem.
func (c Common) Config(ctx context.Context) (Config, error) { return ReadConfig(ctx, c.ConfigPath()) }

// ReadConfig reads a config.json and registers its secrets with ctx's keeper.
// The error is a Problem.
func ReadConfig(ctx context.Context, path string) (Config, error) {
	raw, err := regular.Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Config{}, problem.Problem{What: "no such file", At: path,
			Fix: "name the server's data directory (server_dir) in cidx_home, and run cluster-join.sh first"}
	case err != nil:
		return Config{}, problem.Problem{What: err.Error(), At: path, Fix: "make the file readable for the user that runs the migration"}
	}
	return ParseConfig(ctx, path, raw)
}

// ParseConfig is ReadConfig for bytes already read; path is used in messages.
func ParseConfig(ctx context.Context, path string, raw []byte) (Config, error) {
	if err := jsonfile.Check(raw); err != nil {
		return Config{}, problem.Problem{What: err.Error(), At: path,
			Fix: "repair the file, or restore config.json.bak.<timestamp> beside it and run cluster-join.sh again"}
	}
	doc := gjson.ParseBytes(raw)
	if !doc.IsObject() {
		return Config{}, problem.Problem{What: "not a JSON object", At: path,
			Fix: "restore config.json.bak.<timestamp> beside it and run cluster-join.sh again"}
	}
	text := func(key, otherwise string) string {
		if v := doc.Get(key); v.Type == gjson.String && v.Str != "" {
			return v.Str
		}
		return otherwise
	}
	c := Config{
		Path: path, Raw: raw,
		StorageMode: text("storage_mode", cidx.ModeSQLite),
		DSN:         text("postgres_dsn", ""),
		NodeID:      text("cluster.node_id", ""),
		Share:       text("ontap.mount_point", text("cow_daemon.mount_point", "")),
		Backend:     text("clone_backend", "local"),
	}
	secret.KeepDSN(ctx, c.DSN)
	secret.Keep(ctx, doc.Get("ontap.admin_password").Str, doc.Get("cow_daemon.api_key").Str)
	return c, nil
}

// ClusterConfig returns the cluster configuration of a home: config.json when
// it names PostgreSQL, else the copy that an earlier migration kept in the
// state folder (after a rollback config.json is a standalone one again).
// The error is a Problem.
func (c Common) ClusterConfig(ctx context.Context) (Config, error) {
	current, err := c.Config(ctx)
	if err != nil || current.Cluster() {
		return current, err
	}
	if current.StorageMode != cidx.ModeSQLite {
		return current, problem.Problem{What: fmt.Sprintf("storage_mode is %q", current.StorageMode), At: current.Path,
			Fix: "run cluster-join.sh on this node; CIDX knows sqlite and postgres only"}
	}
	kept, err := ReadConfig(ctx, c.State().ClusterConfig())
	if err == nil && kept.Cluster() {
		return kept, nil
	}
	return current, problem.Problem{What: "storage_mode is \"sqlite\": this server has no cluster settings", At: current.Path,
		Fix: "run cluster-join.sh on this node first"}
}

// MountPoint returns the share: the argument, else the one in config.
func (c Common) MountPoint(config Config) (string, error) {
	share := c.Share
	if share == "" {
		share = config.Share
	}
	if share == "" {
		return "", problem.Problem{What: "no shared storage named", At: config.Path,
			Fix: "set cidx_share to the mount point, or run cluster-join.sh so that ontap.mount_point is set"}
	}
	if !filepath.IsAbs(share) {
		return "", problem.Problem{What: fmt.Sprintf("mount point %q is not an absolute path", share), At: config.Path,
			Fix: "set cidx_share to the absolute path of the mount point"}
	}
	return filepath.Clean(share), nil
}

// KnownMount is the mount point, "" where configuration and arguments name none
// that could be used.
func (c Common) KnownMount(ctx context.Context) string {
	config, err := c.ClusterConfig(ctx)
	if err != nil && c.Share == "" {
		return ""
	}
	mount, err := c.MountPoint(config)
	if err != nil {
		return ""
	}
	return mount
}
