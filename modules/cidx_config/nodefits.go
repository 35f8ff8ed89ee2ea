package config

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/kept"
	"cidx-cluster/modules/internal/keys"
	"cidx-cluster/modules/internal/nodes"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/share"
)

// mostSkew is by how many seconds the clocks of two nodes may differ: a one-time
// password is good for 30 s, a heartbeat too.
const mostSkew = 5

// fits compares this node with the other one and says all that keeps them apart.
func (j *joining) fits(ctx context.Context, found situation) (problems problem.List) {
	d := database{}
	var err error
	if d.conn, d.where, err = j.connect(ctx, found); err == nil {
		defer d.conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	}
	problems.Add(err)
	for _, c := range []struct {
		name  string
		do    func(context.Context, situation, database) (string, error)
		needs bool // the database
	}{
		{"Home path", j.sameHome, false},
		{"Service user", j.sameUser, false},
		{"Clock", j.sameTime, true},
		{"Shared storage", j.sameShare, false},
		{"Cluster", j.sameCluster, true},
		{"Repositories", j.allThere, true},
		{"Stored tokens", j.tokensOpen, true},
	} {
		if c.needs && d.conn == nil {
			continue
		}
		progress.Report(ctx, progress.Status{What: "checking " + c.name})
		detail, err := c.do(ctx, found, d)
		if c.needs {
			err = postgres.Explain(err, d.where)
		}
		word := "OK"
		if err != nil {
			list := problem.Of(err)
			word, detail = "FAILED", list[0].What
			problems = append(problems, list...)
		}
		progress.Line(ctx, "  %s: %s (%s)", c.name, word, detail)
		j.reply.Checks = append(j.reply.Checks, ansible.Check{Name: c.name, OK: err == nil, Detail: detail})
	}
	j.warn(ctx, found, d)
	return problems
}

// database is a session of the cluster's database.
type database struct {
	conn  *pgconn.PgConn // nil where it does not answer
	where string         // for messages
}

func (j *joining) sameHome(_ context.Context, found situation, _ database) (string, error) {
	if own := home.ServerDir(j.Home, found.now); own != j.of.Home {
		return "", problem.Problem{
			What: fmt.Sprintf("this node's home is %s, that of node %s is %s: each writes its own spelling of paths for all, "+
				"and removes repositories that it does not find", own, j.of.NodeID, j.of.Home), At: j.Home,
			Fix: "give the service user the same home folder on every node, " +
				"or set CIDX_SERVER_DATA_DIR in every node's unit to one path, and cidx_home to it",
		}
	}
	return j.of.Home, nil
}

func (j *joining) sameUser(context.Context, situation, database) (string, error) {
	uid, gid := os.Geteuid(), os.Getegid()
	if uid != j.of.UID || gid != j.of.GID {
		return "", problem.Problem{
			What: fmt.Sprintf("the service user has uid %d and gid %d here, and uid %d and gid %d on node %s",
				uid, gid, j.of.UID, j.of.GID, j.of.NodeID), At: "the share's numeric ids",
			Fix: fmt.Sprintf("give it the same on every node: usermod -u %d, groupmod -g %d, then chown -R of its files",
				j.of.UID, j.of.GID),
		}
	}
	return fmt.Sprintf("uid %d, gid %d", uid, gid), nil
}

func (j *joining) sameTime(ctx context.Context, _ situation, d database) (string, error) {
	ours, err := ahead(ctx, d.conn)
	if err != nil {
		return "", err
	}
	apart := ours - j.of.Ahead
	if math.Abs(apart) > mostSkew {
		word := "behind"
		if apart > 0 {
			word = "before"
		}
		return "", problem.Problem{
			What: fmt.Sprintf("this node's clock is %.1f s %s that of node %s", math.Abs(apart), word, j.of.NodeID),
			At:   "clock",
			Fix:  "synchronise both (timedatectl, chronyc makestep)",
		}
	}
	return fmt.Sprintf("%.1f s apart", math.Abs(apart)), nil
}

// sameShare tries the share as the service user, and proves that it is the other
// node's.
func (j *joining) sameShare(ctx context.Context, found situation, _ database) (string, error) {
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
		return "", notShared("no folder of golden repositories is named")
	}
	detail := j.share + ", as node " + j.of.NodeID + " has it"
	if j.of.Marker != "" {
		problems.Add(j.findMarker(ctx, golden.Target))
	} else {
		problems.Add(j.sameAliases(golden.Target))
		detail += "; a real run proves it with a file of its own"
	}
	return detail, problems.Err()
}

// sameCluster proves that PostgreSQL is the other node's, and that nobody else has
// this node's id.
func (j *joining) sameCluster(ctx context.Context, found situation, d database) (string, error) {
	id := j.nodeID(found)
	detail := "node id " + id + ", " + d.where
	digest, err := clusterDigest(ctx, d.conn)
	switch {
	case err != nil:
		return "", err
	case digest != j.given.Cluster:
		return "", problem.Problem{
			What: "not the database of node " + j.of.NodeID,
			At:   d.where,
			Fix:  "run cluster-join.sh with the connection string of the other nodes, or correct cidx_postgres_dsn",
		}
	case id == j.of.NodeID:
		return "", problem.Problem{
			What: fmt.Sprintf("%q is the id of the other node, too", id),
			At:   found.kept.Path,
			Fix:  "give this node an id of its own: cidx_config_node_id, or cluster.node_id of config.json",
		}
	case found.standing.Node() || j.working(found):
		return detail, nil // it may be alive
	}
	return detail, nodes.Twin(ctx, d.conn, id, d.where)
}

// allThere proves that this node finds whatever the cluster knows.
func (j *joining) allThere(ctx context.Context, found situation, d database) (string, error) {
	if err := j.onShare(ctx, found, d, linkedAll(found)); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d, with %d aliases", j.cutover.found.repos, j.cutover.found.aliases), nil
}

func linkedAll(found situation) bool {
	return !slices.ContainsFunc(found.trees, func(t seen) bool { return t.state != home.LinkInPlace })
}

// onShare is the proof of a cut-over, for a share that is complete already.
func (j *joining) onShare(ctx context.Context, found situation, d database, moved bool) error {
	if missing := j.targets(found); len(missing) > 0 {
		return problem.Problem{
			What: "no such folder on the share",
			At:   strings.Join(missing, ", "),
			Fix:  "mount on this node what is mounted on " + j.of.Host,
		}
	}
	user, err := j.User()
	if err != nil {
		return err
	}
	claims, err := j.claims(ctx, d.conn, d.where, found, moved)
	if err != nil {
		return err
	}
	for i := range claims {
		claims[i].fix = "see with cluster-verify.yml whether node " + j.of.NodeID + " has it; " +
			"CIDX would delete for all what this node does not find"
	}
	problems, err := j.judge(ctx, found, user, claims)
	problems.Add(err)
	return problems.Err()
}

// tokensOpen tries the other node's salt on every stored token.
func (j *joining) tokensOpen(ctx context.Context, _ situation, d database) (string, error) {
	key, opened, all := keys.TokenKey(string(j.given.Keys[kept.Salt])), 0, 0
	for _, table := range []string{"ci_tokens", "user_git_credentials"} {
		rows, err := postgres.Read(ctx, d.conn, "SELECT encrypted_token FROM "+table+" WHERE encrypted_token IS NOT NULL")
		if err != nil && postgres.Code(err) != postgres.UndefinedTable {
			return "", fmt.Errorf("read stored tokens: %w", err)
		}
		for _, row := range rows {
			if all++; keys.OpensToken(string(row[0]), key) {
				opened++
			}
		}
	}
	switch {
	case all == 0:
		return "there are none", nil
	case opened == 0:
		return "", problem.Problem{
			What: "no stored token can be opened with the salt of node " + j.of.NodeID,
			At:   kept.Salt,
			Fix:  "look there for the right file first (docs/operator.md, More nodes): no further node could open them either",
		}
	}
	return fmt.Sprintf("%d of %d can be opened with the salt of node %s", opened, all, j.of.NodeID), nil
}
