package config

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/jsonfile"
	"cidx-cluster/modules/internal/keys"
	"cidx-cluster/modules/internal/nodes"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/registry"
	"cidx-cluster/modules/internal/share"
)

// mostSkew is by how many seconds the clocks of two nodes may differ: a one-time
// password is good for 30 s, a heartbeat too.
const mostSkew = 5

// fits compares this node with the other one and says all that keeps them apart.
func (j *joining) fits(ctx context.Context, found situation) (problems problem.List) {
	for _, c := range []struct {
		name string
		do   func(context.Context, situation) (string, error)
	}{
		{"Home path", j.sameHome},
		{"Service user", j.sameUser},
		{"Clock", j.sameTime},
		{"Shared storage", j.sameShare},
		{"Cluster", j.sameCluster},
		{"Repositories", j.allThere},
		{"Stored tokens", j.tokensOpen},
	} {
		progress.Report(ctx, progress.Status{What: "checking " + c.name})
		detail, err := c.do(ctx, found)
		word := "OK"
		if err != nil {
			list := problem.Of(err)
			word, detail = "FAILED", list[0].What
			problems = append(problems, list...)
		}
		progress.Line(ctx, "  %s: %s (%s)", c.name, word, detail)
		j.reply.Checks = append(j.reply.Checks, ansible.Check{Name: c.name, OK: err == nil, Detail: detail})
	}
	j.warn(ctx, found)
	return problems
}

func (j *joining) sameHome(_ context.Context, found situation) (string, error) {
	if home := cidx.ServerDir(j.Home, found.now); home != j.of.Home {
		return "", problem.Problem{
			What: fmt.Sprintf("this node's home is %s, that of node %s is %s: each writes its own spelling of paths for all, "+
				"and removes repositories that it does not find", home, j.of.NodeID, j.of.Home), At: j.Home,
			Fix: "give the service user the same home folder on every node, " +
				"or set CIDX_SERVER_DATA_DIR in every node's unit to one path, and cidx_home to it",
		}
	}
	return j.of.Home, nil
}

func (j *joining) sameUser(context.Context, situation) (string, error) {
	uid, gid := os.Geteuid(), os.Getegid()
	if uid != j.of.UID || gid != j.of.GID {
		return "", problem.Problem{
			What: fmt.Sprintf("the service user has uid %d and gid %d here, and uid %d and gid %d on node %s",
				uid, gid, j.of.UID, j.of.GID, j.of.NodeID), At: "the share's numeric ids",
			Fix: fmt.Sprintf("give it the same on every node (usermod -u %d, groupmod -g %d, then chown -R of its files)", j.of.UID, j.of.GID),
		}
	}
	return fmt.Sprintf("%s, uid %d, gid %d", j.owner(), uid, gid), nil
}

func (j *joining) sameTime(ctx context.Context, found situation) (detail string, err error) {
	err = j.inPostgres(ctx, found.kept.DSN, func(conn *pgconn.PgConn) error {
		ours, err := ahead(ctx, conn)
		if err != nil {
			return err
		}
		apart := ours - j.of.Ahead
		detail = fmt.Sprintf("%.1f s apart", math.Abs(apart))
		before := map[bool]string{true: "before", false: "behind"}[apart > 0]
		if math.Abs(apart) > mostSkew {
			return problem.Problem{
				What: fmt.Sprintf("this node's clock is %.1f s %s that of node %s", math.Abs(apart), before, j.of.NodeID),
				At:   "clock",
				Fix:  "synchronise both (timedatectl, chronyc makestep)",
			}
		}
		return nil
	})
	return detail, err
}

// sameShare tries the share as the service user, and proves that it is the other
// node's.
func (j *joining) sameShare(ctx context.Context, found situation) (string, error) {
	var problems problem.List
	if j.share != j.of.Share {
		problems = append(problems, problem.Problem{
			What: fmt.Sprintf("the share is %s here, and %s on node %s", j.share, j.of.Share, j.of.NodeID),
			At:   found.kept.Path,
			Fix:  "mount it at the same path on every node: rows and links name it",
		})
	}
	if backend := found.kept.Backend; backend != j.of.Backend {
		problems = append(problems, problem.Problem{
			What: fmt.Sprintf("clone_backend is %q here, and %q on node %s", backend, j.of.Backend, j.of.NodeID),
			At:   found.kept.Path,
			Fix:  "set the same on every node",
		})
	}
	var options []share.Option
	if !j.mode.Check {
		options = append(options, share.Writing())
	}
	if j.plain {
		options = append(options, share.Folder())
	}
	if _, err := share.Probe(ctx, j.share, share.Deadline, options...); err != nil {
		problems.Add(err)
		return "", problems
	}
	golden, ok := found.layout.Tree(cidx.GoldenRepos)
	if !ok {
		return "", problem.Problem{
			What: "node " + j.of.NodeID + " has told no folder of golden repositories",
			At:   "cluster",
			Fix:  "run cluster-node.yml again",
		}
	}
	detail := j.share + ", as node " + j.of.NodeID + " has it"
	if j.of.Marker != "" {
		problems.Add(j.findMarker(ctx, golden.Target))
	} else {
		problems.Add(j.sameAliases(golden.Target, found.layout.AliasDirs()))
		detail += "; a real run proves it with a file of its own"
	}
	return detail, problems.Err()
}

// sameCluster proves that PostgreSQL is the other node's, and that nobody else has
// this node's id.
func (j *joining) sameCluster(ctx context.Context, found situation) (string, error) {
	id, where := j.nodeID(found), postgres.WhereDSN(found.kept.DSN)
	err := j.inPostgres(ctx, found.kept.DSN, func(conn *pgconn.PgConn) error {
		digest, err := clusterDigest(ctx, conn)
		if err != nil {
			return err
		}
		if digest != j.given.Cluster {
			return problem.Problem{
				What: "not the database of node " + j.of.NodeID,
				At:   where,
				Fix:  "run cluster-join.sh with the connection string of the other nodes, or correct cidx_postgres_dsn",
			}
		}
		switch {
		case id == j.of.NodeID:
			return problem.Problem{
				What: fmt.Sprintf("%q is the id of the other node, too", id),
				At:   found.kept.Path,
				Fix:  "give this node an id of its own: cidx_config_node_id, or cluster.node_id of config.json",
			}
		case found.standing.Node() || j.working(found):
			return nil // it may be alive
		}
		return nodes.Twin(ctx, conn, id, where)
	})
	return "node id " + id + ", " + where, err
}

// allThere proves that this node finds whatever the cluster knows.
func (j *joining) allThere(ctx context.Context, found situation) (string, error) {
	if err := j.onShare(ctx, found, !slices.ContainsFunc(found.trees, func(t seen) bool { return t.state != cidx.LinkInPlace })); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d, with %d aliases", j.cutover.found.repos, j.cutover.found.aliases), nil
}

// onShare is the proof of a cut-over, for a share that is complete already.
func (j *joining) onShare(ctx context.Context, found situation, moved bool) error {
	if missing := j.targets(found); len(missing) > 0 {
		return problem.Problem{
			What: "no such folder on the share",
			At:   strings.Join(missing, ", "),
			Fix:  "mount on this node what is mounted on " + j.of.Host,
		}
	}
	err := j.inPostgres(ctx, found.kept.DSN, func(conn *pgconn.PgConn) error {
		known, err := registry.FromPostgres(ctx, conn)
		j.registered = nil
		for _, r := range known.Repos {
			j.registered = append(j.registered, r.Alias)
		}
		for _, g := range known.Globals {
			j.registered = append(j.registered, g.Alias)
		}
		return err
	})
	if err != nil {
		return err
	}
	claims, err := j.claims(ctx, found, moved)
	if err != nil {
		return err
	}
	problems, err := j.judge(ctx, found, j.owner(), claims)
	problems.Add(err)
	return problems.Err()
}

// tokensOpen tries the other node's salt on every stored token.
func (j *joining) tokensOpen(ctx context.Context, found situation) (detail string, err error) {
	salt := string(j.given.Keys[saltName])
	err = j.inPostgres(ctx, found.kept.DSN, func(conn *pgconn.PgConn) error {
		var stored [][][]byte
		for _, table := range []string{"ci_tokens", "user_git_credentials"} {
			rows, err := postgres.Read(ctx, conn, "SELECT encrypted_token FROM "+table+" WHERE encrypted_token IS NOT NULL")
			if err != nil && postgres.Code(err) != undefinedTable {
				return fmt.Errorf("read stored tokens: %w", err)
			}
			stored = append(stored, rows...)
		}
		if len(stored) == 0 {
			detail = "there are none"
			return nil
		}
		key, opened := keys.TokenKey(salt), 0
		for _, row := range stored {
			if keys.OpensToken(string(row[0]), key) {
				opened++
			}
		}
		detail = fmt.Sprintf("%d of %d can be opened with the salt of node %s", opened, len(stored), j.of.NodeID)
		if opened == 0 {
			return problem.Problem{
				What: "no stored token can be opened with the salt of node " + j.of.NodeID,
				At:   saltName,
				Fix:  "look there for the right file first (cluster-verify.yml; docs/operator.md, More nodes): no further node could open them either",
			}
		}
		return nil
	})
	return detail, err
}

// warn tells what a node does not get from the cluster, or loses to it.
func (j *joining) warn(ctx context.Context, found situation) {
	add := func(format string, values ...any) {
		j.reply.Warnings = append(j.reply.Warnings, fmt.Sprintf(format, values...))
	}
	if path := cidx.ServerDatabase(j.Home); !missing(path) && !j.working(found) && !found.standing.Node() {
		own, err := registry.FromSQLite(ctx, j.Home)
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
	_ = j.inPostgres(ctx, found.kept.DSN, func(conn *pgconn.PgConn) error { // what cannot be asked was told above
		rows, err := postgres.Read(ctx, conn, "SELECT private_path FROM ssh_keys WHERE private_path <> ''")
		lacking := 0
		for _, r := range rows {
			if missing(string(r[0])) {
				lacking++
			}
		}
		if lacking > 0 {
			add("%d of %d SSH keys that the cluster knows are not on this node: CIDX keeps them on one node, "+
				"and repositories over SSH can be refreshed there only; copy them (%s) if they are to be refreshed here",
				lacking, len(rows), filepath.Dir(string(rows[0][0])))
		}
		return err
	})
	if now := jsonfile.Get(found.now.Raw, "cluster", "node_id").Str; j.NodeID != "" && now != "" && now != j.NodeID && !found.standing.Node() {
		add("node id %q of config.json is replaced by cidx_config_node_id, %q", now, j.NodeID)
	}
}
