package lab

// What others do to the server, the database and the share while a migration is
// under way: a stop that ends like a kill, somebody who goes on writing, another
// node that comes up, an earlier copy by hand.

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
)

// otherFaults are part of faults.
func otherFaults() []fault {
	all := []fault{
		{name: "server killed at the stop", cause: endUnclean, own: true},
		{name: "share with leftovers", cause: leaveOnShare, mend: cleanShare, free: true},
	}
	for _, point := range []string{afterWarmCopy, afterLoad, afterAliases} {
		all = append(all, fault{name: "other node online", point: point, cause: otherNode, mend: otherNodeGone})
	}
	for _, point := range []string{afterStop, afterBackup, afterLoad, afterAliases} {
		all = append(all, fault{name: "late writer", point: point, cause: writeLate, free: true, touched: lateNames})
	}
	return all
}

// endUnclean starts the standalone server anew so that its stop ends as with the
// time-out of a stop, or a power cut: hot WALs, a hot journal, a running job.
func endUnclean(s *stage, _ *Playing) error {
	script := `cd /home/cidx/.cidx-server
echo 'STANDIN=-quiet -end-unclean=standalone' > /etc/cidx-standin.conf
cp -p config.json /root/joined.json
cp -p config.json.bak.* config.json
systemctl restart cidx-server
until (exec 3<>/dev/tcp/127.0.0.1/8000) 2>/dev/null; do sleep 0.1; done
cp -p /root/joined.json config.json`
	out, err := s.node.Run(s.ctx, "bash", "-ec", script)
	if err != nil {
		return fmt.Errorf("start a server that will not end cleanly: %w: %s", err, out)
	}
	return nil
}

// lateNames are what writeLate changes in the home, for judges of a rollback.
const lateNames = "home/data/golden-repos,home/data/golden-repos/billing*,home/data/golden-repos/aliases*"

// writeLate is a cron job or a person that knows nothing of the migration: a row,
// a commit, a file, a key in an alias file. All of it has to arrive, or the run
// stops before the cut-over and the next one takes it along.
func writeLate(s *stage, _ *Playing) error {
	script := `cd /home/cidx/.cidx-server
sqlite3 -cmd '.timeout 10000' data/cidx_server.db "INSERT INTO users (username, password_hash, role, created_at) VALUES ('latecomer', 'x', 'admin', '2026-01-01T00:00:00+00:00')"
sqlite3 -cmd '.timeout 10000' groups.db "INSERT INTO user_group_membership (user_id, group_id, assigned_at, assigned_by) VALUES ('latecomer', 1, '2026-01-01T00:00:00+00:00', 'admin')"
cd data/golden-repos
echo late > billing/late.txt
git -C billing -c user.name=late -c user.email=late@example.org commit -q --allow-empty -m late
sed -i '1s/.*/{\n  "late": true,/' aliases/billing-global.json`
	out, err := s.node.Run(s.ctx, "setpriv", "--reuid", "cidx", "--regid", "cidx", "--clear-groups", "env", "HOME=/home/cidx", "sh", "-ec", script)
	if err != nil {
		return fmt.Errorf("write late: %w: %s", err, out)
	}
	return nil
}

// otherNode is a node that has been online a moment ago.
func otherNode(s *stage, _ *Playing) error {
	return s.statement(`INSERT INTO cluster_nodes (node_id, hostname, status, last_heartbeat) VALUES ('node-9', 'elsewhere', 'online', now())
		ON CONFLICT (node_id) DO UPDATE SET status = 'online', last_heartbeat = now()`)
}

func otherNodeGone(s *stage) error {
	return s.statement("DELETE FROM cluster_nodes WHERE node_id = 'node-9'")
}

// statement runs SQL as the superuser of the cluster.
func (s *stage) statement(sql string) error {
	conn, err := pgx.Connect(s.ctx, s.lab.DB.fromHere("cidx"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(s.ctx))
	_, err = conn.Exec(s.ctx, sql)
	return err
}

// leaveOnShare is what an earlier copy by hand has left: an alias that nobody
// knows, a repository that is gone, a file that is older than ours.
func leaveOnShare(s *stage, _ *Playing) error {
	for name, text := range map[string]string{
		"golden-repos/aliases/forgotten-global.json": `{"target_path": "/mnt/cidx-shared/golden-repos/forgotten", "repo_name": "forgotten"}`,
		"golden-repos/forgotten/README.md":           "left by an earlier copy\n",
		"golden-repos/billing/README.md":             "older\n",
		"golden-repos/billing/.git/refs/heads/old":   "0000000000000000000000000000000000000001\n",
	} {
		path := filepath.Join(s.lab.share(), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	_, err := s.node.Run(s.ctx, "chown", "-R", "cidx:cidx", Share+"/golden-repos")
	return err
}

// cleanShare is what an operator does who is told: the leftovers are moved away.
func cleanShare(s *stage) error {
	aside := filepath.Join(s.lab.share(), "golden-repos")
	if _, err := os.Stat(filepath.Join(aside, "forgotten")); err != nil {
		return nil // the run has done so itself
	}
	return os.RemoveAll(aside)
}
