package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/jsonfile"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/secret"
)

// clusterEdits are the values that make now a cluster's configuration. kept is
// the one cluster-join left; it is now itself, except after a rollback.
func clusterEdits(now, kept home.Config, dsn, node, share string) ([]jsonfile.Edit, error) {
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
	if dsn == "" {
		dsn = kept.DSN
	}
	if dsn == "" {
		return nil, problem.Problem{What: "no postgres_dsn", At: kept.Path, Fix: "run cluster-join.sh, or set cidx_postgres_dsn"}
	}
	set(dsn, "postgres_dsn")
	if node == "" {
		node = kept.NodeID
	}
	if node == "" {
		return nil, problem.Problem{What: "no cluster.node_id", At: kept.Path, Fix: "run cluster-join.sh, or set cidx_config_node_id to a name unique in the cluster"}
	}
	set(node, "cluster", "node_id")
	if o := jsonfile.Get(kept.Raw, "ontap"); o.IsObject() && o.Get("mount_point").String() == "" {
		set(share, "ontap", "mount_point")
	}
	return edits, nil
}

// editStep writes edits to config.json, if they change anything.
func (c *cutover) editStep(now home.Config, edits []jsonfile.Edit) (step, bool, error) {
	after, err := jsonfile.Set(now.Raw, edits...)
	if err != nil {
		return step{}, false, problem.Problem{What: err.Error(), At: now.Path, Fix: "repair the file: cluster, ontap and cow_daemon are objects or null"}
	}
	if bytes.Equal(after, now.Raw) {
		return step{}, false, nil
	}
	return c.replaceStep(now, after, "set storage_mode, postgres_dsn and cluster in config.json"), true, nil
}

// replaceStep replaces config.json, and puts the old one back on undo.
func (c *cutover) replaceStep(now home.Config, after []byte, what string) step {
	if c.mode.Diff {
		c.reply.Diff = append(c.reply.Diff, ansible.Diff{
			BeforeHeader: now.Path, AfterHeader: now.Path, Before: string(redact(now.Raw)), After: string(redact(after)),
		})
	}
	write := func(raw []byte) func() error {
		return func() error {
			if old, err := os.ReadFile(now.Path); err == nil && bytes.Equal(old, raw) {
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
	return step{what: what, event: "configured", do: write(after), undo: write(now.Raw)}
}

// heldSince is when the server was held; zero if it is not. A config.json that is
// newer means that an operator has gone back by hand, and the drop-in of
// cidx_service lets the server start then: ours must not look like that.
func (c *cutover) heldSince() time.Time {
	info, err := os.Stat(c.Holds().Hold())
	if err != nil {
		return time.Time{} // not held
	}
	return info.ModTime()
}

// keepStep stores the cluster's configuration for the next migration.
func (c *cutover) keepStep(now home.Config) (step, bool) {
	path := c.State().ClusterConfig()
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, now.Raw) {
		return step{}, false
	}
	return step{what: "keep the cluster's configuration as " + path, event: "kept", do: func() error {
		return durable.Write(path, now.Raw, nil)
	}}, true
}

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
