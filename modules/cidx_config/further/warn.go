package further

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/cidx_config/cutover"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/postgres"
)

// warn tells what a node does not get from the cluster, or loses to it.
func (j *joining) warn(ctx context.Context, found cutover.Found) {
	add := func(format string, values ...any) {
		j.reply.Warnings = append(j.reply.Warnings, fmt.Sprintf(format, values...))
	}
	if path := cidx.ServerDatabase(j.Home); !cutover.Missing(path) && !j.working(found) && !found.Standing.Node() {
		own, err := j.Registry(ctx)
		if err != nil {
			add("which repositories this server had of its own is not known: %v", err)
		}
		var names []string
		for _, r := range own.Repos {
			if r.Alias != "cidx-meta" {
				names = append(names, r.Alias)
			}
		}
		if len(names) > 0 {
			add("this server's own %d repositories, users and settings are set aside, not added to the cluster: %s",
				len(names), strings.Join(names, ", "))
		}
	}
	if found.Conn != nil {
		rows, err := postgres.Read(ctx, found.Conn, "SELECT private_path FROM ssh_keys WHERE private_path <> ''")
		if err != nil && postgres.Code(err) != postgres.UndefinedTable {
			add("whether this node lacks SSH keys is not known: %v", err)
		}
		lacking := 0
		for _, r := range rows {
			if cutover.Missing(string(r[0])) {
				lacking++
			}
		}
		if lacking > 0 {
			add("%d of %d SSH keys that the cluster knows are not on this node: CIDX keeps them on one node, "+
				"and repositories over SSH can be refreshed there only; copy them (%s) if they are to be refreshed here",
				lacking, len(rows), filepath.Dir(string(rows[0][0])))
		}
	}
	now := found.Now.NodeID
	if j.ID != "" && now != "" && now != j.ID && !found.Standing.Node() {
		add("node id %q of config.json is replaced by cidx_config_node_id, %q", now, j.ID)
	}
}
