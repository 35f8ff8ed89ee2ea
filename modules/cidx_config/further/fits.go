package further

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"cidx-cluster/modules/cidx_config/cutover"
	"cidx-cluster/modules/cidx_config/proof"
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
func (j *joining) fits(ctx context.Context, found cutover.Found) (problems problem.List) {
	err := found.Connect(ctx)
	if err == nil {
		defer found.Close(ctx)
	}
	problems.Add(err)
	for _, c := range []struct {
		name  string
		do    func(context.Context, cutover.Found) (string, error)
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
		if c.needs && found.Conn == nil {
			continue
		}
		progress.Report(ctx, progress.Status{What: "checking " + c.name})
		detail, err := c.do(ctx, found)
		if c.needs {
			err = postgres.Explain(err, found.Where)
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
	j.warn(ctx, found)
	return problems
}

func (j *joining) sameHome(_ context.Context, found cutover.Found) (string, error) {
	if own := home.ServerDir(j.Home, found.Now); own != j.of.Home {
		return "", problem.Problem{
			What: fmt.Sprintf("this node's home is %s, that of node %s is %s: each writes its own spelling of paths for all, "+
				"and removes repositories that it does not find", own, j.of.NodeID, j.of.Home), At: j.Home,
			Fix: "give the service user the same home folder on every node, " +
				"or set CIDX_SERVER_DATA_DIR in every node's unit to one path, and cidx_home to it",
		}
	}
	return j.of.Home, nil
}

func (j *joining) sameUser(context.Context, cutover.Found) (string, error) {
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

func (j *joining) sameTime(ctx context.Context, found cutover.Found) (string, error) {
	ours, err := ahead(ctx, found.Conn)
	if err != nil {
		return "", err
	}
	apart := ours - j.of.Ahead
	if math.Abs(apart) > mostSkew {
		word := "behind"
		if apart > 0 {
			word = "before"
		}
		return "", problem.Problem{What: fmt.Sprintf("this node's clock is %.1f s %s that of node %s", math.Abs(apart), word, j.of.NodeID),
			At: "clock", Fix: "synchronise both (timedatectl, chronyc makestep)"}
	}
	return fmt.Sprintf("%.1f s apart", math.Abs(apart)), nil
}

// sameShare tries the share as the service user, and proves that it is the other
// node's.
func (j *joining) sameShare(ctx context.Context, found cutover.Found) (string, error) {
	var problems problem.List
	if found.Share != j.of.Share {
		problems = append(problems, problem.Problem{
			What: fmt.Sprintf("the share is %s here, and %s on node %s", found.Share, j.of.Share, j.of.NodeID),
			At:   found.Kept.Path,
			Fix:  "mount it at the same path on every node: rows and links name it",
		})
	}
	if backend := found.Kept.Backend; backend != j.of.Backend {
		problems = append(problems, problem.Problem{
			What: fmt.Sprintf("clone_backend is %q here, and %q on node %s", backend, j.of.Backend, j.of.NodeID),
			At:   found.Kept.Path,
			Fix:  "set the same on every node",
		})
	}
	var options []share.Option
	if !j.Mode.Check {
		options = append(options, share.Writing())
	}
	if j.Plain {
		options = append(options, share.Folder())
	}
	if _, err := share.Probe(ctx, found.Share, share.Deadline, options...); err != nil {
		problems.Add(err)
		return "", problems
	}
	_, ok := found.Layout.Tree(cidx.GoldenRepos)
	if !ok {
		return "", notShared("no folder of golden repositories is named")
	}
	detail := found.Share + ", as node " + j.of.NodeID + " has it"
	if j.of.Marker != "" {
		problems.Add(j.findMarker(ctx, found))
	} else {
		problems.Add(j.sameAliases(found))
		detail += "; a real run proves it with a file of its own"
	}
	return detail, problems.Err()
}

// sameCluster proves that PostgreSQL is the other node's, and that nobody else has
// this node's id.
func (j *joining) sameCluster(ctx context.Context, found cutover.Found) (string, error) {
	id := j.nodeID(found)
	detail := "node id " + id + ", " + found.Where
	digest, err := clusterDigest(ctx, found.Conn)
	switch {
	case err != nil:
		return "", err
	case digest != j.given.Cluster:
		return "", problem.Problem{What: "not the database of node " + j.of.NodeID, At: found.Where,
			Fix: "run cluster-join.sh with the connection string of the other nodes, or correct cidx_postgres_dsn"}
	case id == j.of.NodeID:
		return "", problem.Problem{What: fmt.Sprintf("%q is the id of the other node, too", id), At: found.Kept.Path,
			Fix: "give this node an id of its own: cidx_config_node_id, or cluster.node_id of config.json"}
	case found.Standing.Node() || j.working(found):
		return detail, nil // it may be alive
	}
	return detail, nodes.Twin(ctx, found.Conn, id, found.Where)
}

// allThere proves that this node finds whatever the cluster knows.
func (j *joining) allThere(ctx context.Context, found cutover.Found) (string, error) {
	if err := j.onShare(ctx, found, linkedAll(found)); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d, with %d aliases", j.claims.Repos, j.claims.Aliases), nil
}

func linkedAll(found cutover.Found) bool {
	return !slices.ContainsFunc(found.Trees, func(t cutover.Tree) bool { return t.State != home.LinkInPlace })
}

// onShare is the proof of a cut-over, for a share that is complete already.
func (j *joining) onShare(ctx context.Context, found cutover.Found, moved bool) error {
	if lacking := found.Lacking(); len(lacking) > 0 {
		return problem.Problem{What: "no such folder on the share", At: strings.Join(lacking, ", "),
			Fix: "mount on this node what is mounted on " + j.of.Host}
	}
	var err error
	if j.claims, err = proof.Claimed(ctx, found, moved); err != nil {
		return err
	}
	if j.claims.Empty != nil && !j.Mode.Check {
		return j.claims.Empty
	}
	j.claims.FixedBy("see with cluster-verify.yml whether node " + j.of.NodeID + " has it; " +
		"CIDX would delete for all what this node does not find")
	problems, err := j.claims.Judge(ctx, j.Common, found)
	problems.Add(err)
	return problems.Err()
}

// tokensOpen tries the other node's salt on every stored token.
func (j *joining) tokensOpen(ctx context.Context, found cutover.Found) (string, error) {
	key, opened, all := keys.TokenKey(string(j.given.Keys[kept.Salt])), 0, 0
	for _, table := range []string{"ci_tokens", "user_git_credentials"} {
		rows, err := postgres.Read(ctx, found.Conn, "SELECT encrypted_token FROM "+table+" WHERE encrypted_token IS NOT NULL")
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
		return "", problem.Problem{What: "no stored token can be opened with the salt of node " + j.of.NodeID, At: kept.Salt,
			Fix: "look there for the right file first (docs/operator.md, More nodes): no further node could open them either"}
	}
	return fmt.Sprintf("%d of %d can be opened with the salt of node %s", opened, all, j.of.NodeID), nil
}
