package cutover

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"time"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/jsonfile"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/regular"
	"cidx-cluster/modules/internal/secret"
)

// ClusterEdits are the values that make config.json a cluster's; node is the
// operator's name for this one.
func ClusterEdits(f Found, node string) ([]jsonfile.Edit, error) {
	now, kept := f.Now, f.Kept
	var edits []jsonfile.Edit
	set := func(value any, path ...string) { edits = append(edits, jsonfile.Edit{Path: path, Value: value}) }
	if !now.Cluster() {
		for _, key := range []string{"ontap", "cow_daemon", "clone_backend", "cluster"} {
			if v := jsonfile.Get(kept.Raw, key); v.Exists() {
				set(json.RawMessage(v.Raw), key)
			}
		}
	}
	if now.StorageMode != cidx.ModePostgres {
		set(cidx.ModePostgres, "storage_mode")
	}
	if f.DSN == "" {
		return nil, problem.Problem{What: "no postgres_dsn", At: kept.Path, Fix: "run cluster-join.sh, or set cidx_postgres_dsn"}
	}
	set(f.DSN, "postgres_dsn")
	if node = cmp.Or(node, kept.NodeID); node == "" {
		return nil, problem.Problem{What: "no cluster.node_id", At: kept.Path,
			Fix: "run cluster-join.sh, or set cidx_config_node_id to a name unique in the cluster"}
	}
	set(node, "cluster", "node_id")
	if o := jsonfile.Get(kept.Raw, "ontap"); o.IsObject() && o.Get("mount_point").String() == "" {
		set(f.Share, "ontap", "mount_point")
	}
	return edits, nil
}

// Edit plans to write edits to config.json, if they change anything.
func (c *Change) Edit(now home.Config, edits []jsonfile.Edit) error {
	after, err := jsonfile.Set(now.Raw, edits...)
	if err != nil {
		return problem.Problem{What: err.Error(), At: now.Path, Fix: "repair the file: cluster, ontap and cow_daemon are objects or null"}
	}
	if !bytes.Equal(after, now.Raw) {
		c.replace(now, after, "set storage_mode, postgres_dsn and cluster in config.json")
	}
	return nil
}

// replace plans to replace config.json, and to put the old one back on undo.
func (c *Change) replace(now home.Config, after []byte, what string) {
	if c.Mode.Diff {
		c.Diff = append(c.Diff, ansible.Diff{
			BeforeHeader: now.Path, AfterHeader: now.Path, Before: string(redact(now.Raw)), After: string(redact(after)),
		})
	}
	write := func(raw []byte) func() error {
		return func() error {
			if old, err := regular.Read(now.Path); err == nil && bytes.Equal(old, raw) {
				return nil
			}
			// Where config.json is lost, its backup tells owner and mode.
			info, err := os.Stat(now.Path)
			if errors.Is(err, fs.ErrNotExist) {
				info, err = os.Stat(now.Path + home.PreCluster)
			}
			if err != nil {
				return fmt.Errorf("write configuration: %w", err)
			}
			return durable.WriteAt(now.Path, raw, info, c.heldSince())
		}
	}
	c.Plan = append(c.Plan, Step{Name: what, Event: "configured", Do: write(after), Undo: write(now.Raw)})
}

// heldSince is when the server was held; zero if it is not. A config.json that is
// newer means that an operator has gone back by hand, and the drop-in of
// cidx_service lets the server start then: ours must not look like that.
func (c *Change) heldSince() time.Time {
	info, err := os.Stat(c.Holds().Hold())
	if err != nil {
		return time.Time{} // not held
	}
	return info.ModTime()
}

// ConfigBack plans to restore config.json.pre-cluster. A run that was stopped before
// its backup has none yet; it is made then.
func (c *Change) ConfigBack(ctx context.Context, now home.Config) error {
	if now.Path != "" && !now.Cluster() {
		return nil // standalone already, perhaps by the three commands
	}
	before, err := c.StandaloneConfig(ctx, now)
	if err != nil {
		return err
	}
	if before.StorageMode != cidx.ModeSQLite {
		return problem.Problem{What: fmt.Sprintf("storage_mode is %q: not a standalone configuration", before.StorageMode), At: before.Path,
			Fix: "put a standalone configuration there (config.json.bak.<timestamp> of cluster-join.sh)"}
	}
	if now.Path == "" {
		now.Path = c.ConfigPath()
	} else {
		c.keep(now)
	}
	if !bytes.Equal(now.Raw, before.Raw) {
		if problems := c.Replaceable(); len(problems) > 0 {
			return problems
		}
		c.replace(now, before.Raw, "restore config.json from config.json.pre-cluster")
	}
	return nil
}

// keep plans to store the cluster's configuration for the next migration.
func (c *Change) keep(now home.Config) {
	path := c.State().ClusterConfig()
	if old, err := regular.Read(path); err == nil && bytes.Equal(old, now.Raw) {
		return
	}
	c.Plan = append(c.Plan, Step{Name: "keep the cluster's configuration as " + path, Event: "kept", Do: func() error {
		return durable.Write(path, now.Raw, nil)
	}})
}

// StandaloneConfig reads config.json.pre-cluster, or plans to write it.
func (c *Change) StandaloneConfig(ctx context.Context, now home.Config) (home.Config, error) {
	path := c.ConfigPath() + home.PreCluster
	if !Missing(path) {
		return home.ReadConfig(ctx, path)
	}
	if now.Path == "" {
		return now, problem.Problem{What: "no such file", At: path,
			Fix: "restore a standalone configuration (config.json.bak.<timestamp> of cluster-join.sh) under this name"}
	}
	raw, from, err := home.Standalone(ctx, now)
	if err != nil {
		return now, err
	}
	c.Plan = append(c.Plan, Step{Name: "write config.json.pre-cluster (from " + from + ")", Event: "kept", Do: func() error {
		info, err := os.Stat(now.Path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a further node may have none yet
			return fmt.Errorf("write config.json.pre-cluster: %w", err)
		}
		return durable.Write(path, raw, info)
	}})
	return home.ParseConfig(ctx, path, raw)
}

// secretName matches keys whose values are never shown.
var secretName = regexp.MustCompile(`(?i)password|passwd|secret|token|api_?key|private|credential|_dsn$`)

// redact hides every value of a configuration that may be a secret, in any
// spelling: the keeper masks values that it knows, an escaped one it would miss.
func redact(doc []byte) []byte {
	var edits []jsonfile.Edit
	hideBelow(gjson.ParseBytes(doc), nil, &edits)
	out, err := jsonfile.Set(doc, edits...)
	if err != nil {
		return []byte("(not shown: " + err.Error() + ")\n")
	}
	return out
}

func hideBelow(object gjson.Result, path []string, edits *[]jsonfile.Edit) {
	object.ForEach(func(key, v gjson.Result) bool {
		at := append(append([]string{}, path...), key.Str)
		switch {
		case v.IsObject():
			hideBelow(v, at, edits)
		case key.Str == "postgres_dsn" && v.Str != "":
			*edits = append(*edits, jsonfile.Edit{Path: at, Value: hideDSN(v.Str)})
		case secretName.MatchString(key.Str) && v.Type != gjson.Null && v.Raw != `""`:
			*edits = append(*edits, jsonfile.Edit{Path: at, Value: secret.Mask})
		}
		return true
	})
}

// hideDSN shows a connection string without its password.
func hideDSN(dsn string) string {
	k := secret.New()
	k.Keep(secret.Passwords(dsn)...)
	if shown := k.Hide(dsn); shown != dsn || len(secret.Passwords(dsn)) == 0 {
		return shown
	}
	return secret.Mask // too short a password to be found in the text
}
