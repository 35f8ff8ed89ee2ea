package precheck

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/jsonfile"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/regular"
)

// allowed are the keys that CIDX 11.79 accepts in the objects of config.json;
// any other one keeps the server from starting.
var allowed = map[string][]string{
	"cluster":    {"node_id", "sharding_enabled", "shard_replicas"},
	"ontap":      {"endpoint", "svm_name", "parent_volume", "mount_point", "admin_user", "admin_password", "nfs_data_lif", "nfs_export"},
	"cow_daemon": {"daemon_url", "api_key", "mount_point", "poll_interval_seconds", "timeout_seconds", "daemon_storage_path"},
}

// config checks the configuration and everything in the home that the other
// steps build on.
func (e *examiner) config(ctx context.Context) outcome {
	f := &e.found
	problems := slices.Clone(f.halfway)
	problems.Add(f.standErr)
	if !f.migrated {
		problems = append(problems, f.closed...)
	}
	if !f.hidden(e.ConfigPath()) {
		problems.Add(f.err)
	}
	if f.err == nil || f.nowErr == nil && !f.hidden(e.ConfigPath()) {
		problems = append(problems, e.settings()...)
	}
	layout, err := e.where(ctx)
	problems = append(problems, f.untold(err)...)
	if !f.migrated {
		problems = append(problems, e.databases()...)
		problems = append(problems, e.legacy()...)
	}
	if err == nil {
		problems = append(problems, e.aliases(layout)...)
		if !f.migrated {
			if _, ok := layout.Tree(cidx.ActivatedRepos); !ok {
				e.warn("%s does not exist: what users activate later would stay on this node, unseen by others; make the folder first, "+
					"as the server's user", filepath.Join(e.Home, "data", cidx.ActivatedRepos))
			}
			problems = append(problems, e.registry(ctx, layout)...)
		}
	}
	detail := "storage_mode: " + f.cluster.StorageMode
	if f.err == nil && f.now.Path != f.cluster.Path {
		detail += ", kept from before the rollback"
	}
	return outcome{detail: detail, problems: problems}
}

// settings checks the values of the cluster's configuration.
func (e *examiner) settings() problem.List {
	c := e.found.cluster
	var problems problem.List
	add := func(key, what, fix string) { problems.Add(wrong(key+": "+what, c.Path, fix)) }
	for _, object := range []string{"cluster", "ontap", "cow_daemon"} {
		v := jsonfile.Get(c.Raw, object)
		if !v.Exists() || v.Type == gjson.Null {
			continue
		}
		if !v.IsObject() {
			add(object, "not an object", "make it an object or null; CIDX does not start otherwise")
			continue
		}
		v.ForEach(func(key, _ gjson.Result) bool {
			if !slices.Contains(allowed[object], key.Str) {
				add(object+"."+key.Str, "unknown key",
					"remove it; CIDX does not start with it (known: "+strings.Join(allowed[object], ", ")+")")
			}
			return true
		})
	}
	if !c.Cluster() {
		return problems // the rest would repeat that cluster-join.sh has not run
	}
	if c.DSN == "" && e.DSN == "" {
		add("postgres_dsn", "missing", "run cluster-join.sh, or set cidx_postgres_dsn")
	}
	if c.NodeID == "" {
		add("cluster.node_id", "missing", "run cluster-join.sh; without it CIDX's services disagree about the node's name")
	}
	e.storage(c, add)
	return problems
}

// storage checks that mount point, clone backend and their objects agree.
func (e *examiner) storage(c home.Config, add func(key, what, fix string)) {
	if e.found.mountErr == nil {
		for _, key := range []string{"ontap", "cow_daemon"} {
			point := jsonfile.Get(c.Raw, key, "mount_point").String()
			if point != "" && filepath.Clean(point) != e.found.mount {
				add(key+".mount_point", fmt.Sprintf("%q, but the share is %s", point, e.found.mount),
					"make both the same: correct cidx_share, or run cluster-join.sh again")
			}
		}
	}
	switch c.Backend {
	case "local":
	case "ontap", "cow-daemon":
		object := strings.ReplaceAll(c.Backend, "-", "_")
		if !jsonfile.Get(c.Raw, object).IsObject() {
			add("clone_backend", fmt.Sprintf("%q, but there is no object %s", c.Backend, object),
				"run cluster-join.sh again, or set clone_backend to local")
		}
	default:
		add("clone_backend", fmt.Sprintf("unknown value %q", c.Backend), "set it to local, ontap or cow-daemon")
	}
	dir := jsonfile.Get(c.Raw, "server_dir").String()
	if filepath.IsAbs(dir) && !slices.Contains(home.Spellings(e.Home, c), filepath.Clean(dir)) {
		add("server_dir", fmt.Sprintf("%q is another folder", dir), "set cidx_home to the folder that the server uses")
	}
}

// databases checks that the files are there which every server has.
func (e *examiner) databases() problem.List {
	var problems problem.List
	for _, d := range cidx.DatabaseFiles() {
		path := filepath.Join(e.Home, d.Path)
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && d.Required:
			problems.Add(wrong("database file is missing", path,
				"restore it, or name the server's data directory in cidx_home; every CIDX server makes this file at its start"))
		case errors.Is(err, fs.ErrNotExist) && d.Migrates:
			e.warn("%s does not exist: its tables will be empty in the cluster", path)
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, fs.ErrPermission): // told already
		case err != nil:
			problems.Add(wrong(err.Error(), path, "make the file readable for the user that runs the migration"))
		case !info.Mode().IsRegular():
			problems.Add(wrong("not a database file but a "+kind(info.Mode()), path, "move it away and restore the file"))
		}
	}
	return problems
}

func kind(m fs.FileMode) string {
	if m.IsDir() {
		return "folder"
	}
	return "special file"
}

// legacy finds data of old releases that no server has imported into SQLite
// yet: the migration would not see it.
func (e *examiner) legacy() problem.List {
	var problems problem.List
	for _, name := range []string{"users.json", "jobs.json", "ci_tokens.json", "invalidated_sessions.json"} {
		for _, dir := range []string{"", "data"} {
			path := filepath.Join(e.Home, dir, name)
			raw, err := regular.Read(path)
			if err != nil || !holdsData(raw) {
				continue
			}
			problems.Add(wrong("data of an old release that is not in SQLite yet", path,
				"start the standalone server once, which imports it; if the file is still there then, move it away"))
		}
	}
	for _, pattern := range []string{
		"global_registry.json", "data/golden-repos/global_registry.json", "ssh_keys/*.json", "password_audit.log",
	} {
		paths, _ := filepath.Glob(filepath.Join(e.Home, pattern)) // well-formed unless the home has brackets; then nothing is found
		for _, path := range paths {
			e.warn("%s is of an old release and is not migrated; a start of the standalone server imports it", path)
		}
	}
	return problems
}

// holdsData reports whether a JSON file holds more than an empty object or list.
func holdsData(raw []byte) bool {
	doc := gjson.ParseBytes(raw)
	if !gjson.ValidBytes(raw) {
		return len(raw) > 0
	}
	return !doc.IsObject() && !doc.IsArray() || len(doc.Map()) > 0 || doc.IsArray() && len(doc.Array()) > 0
}
