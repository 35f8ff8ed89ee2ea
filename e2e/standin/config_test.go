package standin

import (
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct{ text, refused string }{
		"stripped standalone file":              {standaloneConfig, ""},
		"storage_mode may be absent":            {`{}`, ""},
		"unknown keys at the top are tolerated": {`{"colour": "red"}`, ""},
		"all keys of the strict objects": {`{"storage_mode": "postgres", "postgres_dsn": "x",
			"cluster": {"node_id": "n", "sharding_enabled": true, "shard_replicas": 2},
			"ontap": {"endpoint": "e", "svm_name": "s", "parent_volume": "p", "mount_point": "/m", "admin_user": "a",
				"admin_password": "b", "nfs_data_lif": "l", "nfs_export": "x"},
			"cow_daemon": {"daemon_url": "d", "api_key": "k", "mount_point": "/m", "poll_interval_seconds": 1,
				"timeout_seconds": 2, "daemon_storage_path": "/s"}}`, ""},
		"not JSON":                       {`{"storage_mode": `, "not a JSON object"},
		"not an object":                  {`[]`, "not a JSON object"},
		"unknown storage_mode":           {`{"storage_mode": "mysql"}`, `"mysql"`},
		"postgres without dsn":           {`{"storage_mode": "postgres"}`, "postgres_dsn"},
		"one key too many in cluster":    {`{"cluster": {"node_id": "n", "nodes": 2}}`, `cluster: unexpected key "nodes"`},
		"one key too many in ontap":      {`{"ontap": {"mount": "/m"}}`, `ontap: unexpected key "mount"`},
		"one key too many in cow_daemon": {`{"cow_daemon": {"mount": "/m"}}`, `cow_daemon: unexpected key "mount"`},
		"cluster is no object":           {`{"cluster": "node-1"}`, "cluster: not an object"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fixture{t: t, home: t.TempDir()}
			f.write("config.json", c.text)
			_, err := readConfig(f.home)
			if c.refused == "" {
				must(t, err)
			} else if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Fatalf("got %v", err)
			}
		})
	}
}
