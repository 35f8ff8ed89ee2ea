package judge

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// keys that CIDX 11.79 accepts in an object of config.json; any other stops its start.
var objectKeys = map[string][]string{
	"cluster": {"node_id", "sharding_enabled", "shard_replicas"},
	"ontap":   {"endpoint", "svm_name", "parent_volume", "mount_point", "admin_user", "admin_password", "nfs_data_lif", "nfs_export"},
	"cow_daemon": {"daemon_url", "api_key", "mount_point", "poll_interval_seconds", "timeout_seconds",
		"daemon_storage_path"},
}

// judgeConfig wants a valid cluster configuration, a standalone one beside it
// that agrees in everything else, and links in place of the trees.
func judgeConfig(l layout, r *Report) {
	cluster, err := readConfig(filepath.Join(l.home, "config.json"))
	if err != nil {
		r.differ("config", "home/config.json", "%v", err)
		return
	}
	standalone, err := readConfig(filepath.Join(l.home, "config.json.pre-cluster"))
	if err != nil {
		r.differ("config", "home/config.json.pre-cluster", "%v", err)
	} else {
		judgeStandalone(standalone, cluster, r)
	}
	judgeCluster(cluster, l, r)
	for _, t := range l.trees {
		r.checked("config", 1)
		if to, err := os.Readlink(t.link); err != nil || filepath.Clean(to) != t.target {
			r.differ("config", "link/"+t.name, "%s is no link to %s", t.link, t.target)
		}
		if info, err := os.Stat(t.link + asideSuffix); err != nil || !info.IsDir() {
			r.differ("config", "link/"+t.name+asideSuffix, "the standalone data is not at %s", t.link+asideSuffix)
		}
	}
}

func readConfig(path string) (map[string]any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	v, err := decodeJSON(string(text))
	if err != nil {
		return nil, err
	}
	config, is := v.(map[string]any)
	if !is {
		return nil, fmt.Errorf("not a JSON object")
	}
	return config, nil
}

func judgeCluster(c map[string]any, l layout, r *Report) {
	r.checked("config", 1)
	want := func(ok bool, name, what string) {
		if !ok {
			r.differ("config", "home/config.json/"+name, "%s", what)
		}
	}
	want(c["storage_mode"] == "postgres", "storage_mode", "is not postgres")
	dsn, _ := c["postgres_dsn"].(string)
	want(dsn != "", "postgres_dsn", "is empty")
	for object, allowed := range objectKeys {
		members, _ := c[object].(map[string]any)
		for key := range members {
			want(slices.Contains(allowed, key), object+"."+key, "unknown key: the server does not start")
		}
	}
	cluster, _ := c["cluster"].(map[string]any)
	node, _ := cluster["node_id"].(string)
	want(node != "", "cluster.node_id", "is empty")
	mounts := 0
	for _, object := range []string{"ontap", "cow_daemon"} {
		if members, is := c[object].(map[string]any); is {
			mounts++
			mount, _ := members["mount_point"].(string)
			want(filepath.Clean(mount) == l.share, object+".mount_point", "is not the share")
		}
	}
	want(mounts > 0, "ontap.mount_point", "is missing")
}

// clusterKeys are the members in which the two configurations may differ.
var clusterKeys = []string{"storage_mode", "postgres_dsn", "ontap", "cluster", "cow_daemon", "clone_backend"}

func judgeStandalone(c, cluster map[string]any, r *Report) {
	r.checked("config", 1)
	const name = "home/config.json.pre-cluster"
	if mode, has := c["storage_mode"]; has && mode != "sqlite" {
		r.differ("config", name+"/storage_mode", "is not sqlite: a rollback would start the cluster")
	}
	if c["postgres_dsn"] != nil {
		r.differ("config", name+"/postgres_dsn", "is set")
	}
	for _, key := range sortedNames(c) {
		if !slices.Contains(clusterKeys, key) && !sameJSON(c[key], cluster[key]) {
			r.differ("config", name+"/"+key, "differs from config.json")
		}
	}
	for _, key := range sortedNames(cluster) {
		if _, has := c[key]; !has && !slices.Contains(clusterKeys, key) {
			r.differ("config", name+"/"+key, "is missing")
		}
	}
}
