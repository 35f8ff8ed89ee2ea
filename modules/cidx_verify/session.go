package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidxapi"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/seal"
	"cidx-cluster/modules/internal/secret"
)

// met is what a node of the cluster tells, for the comparison with a further one.
type met struct {
	NodeID  string    `json:"node_id"`
	Version string    `json:"version"`
	Listed  []string  `json:"listed"` // global repositories
	Time    time.Time `json:"time"`
	Sealed  string    `json:"sealed"` // the token of a login, closed; of an API key there is none
}

// freshly is the age up to which another node's session is good: CIDX ends one
// after 10 minutes.
const freshly = 8 * time.Minute

// session logs in to a node that works.
func session(ctx context.Context, a args) (ansible.Reply, error) {
	a.Mode = "cluster"
	v, err := prepare(ctx, a)
	if err != nil {
		return ansible.Reply{Msg: "this node cannot be asked"}, err
	}
	m := met{Time: time.Now().UTC()}
	node, err := v.api.CheckHealth(ctx)
	if err != nil {
		return ansible.Reply{Msg: "this node does not answer"}, err
	}
	if node.NodeID == "" {
		return ansible.Reply{}, problem.Problem{What: "the server runs in standalone mode", At: v.api.Base(),
			Fix: "name a node that works in cidx_first_node"}
	}
	m.NodeID, m.Version = node.NodeID, node.Version
	if m.Listed, err = v.listed(ctx); err != nil {
		return ansible.Reply{Msg: "this node does not list its repositories"}, err
	}
	token := ""
	if a.APIKey == "" {
		if token, err = v.api.Token(ctx); err != nil {
			return ansible.Reply{}, err
		}
	}
	if m.Sealed, err = seal.Close(a.Seal, token); err != nil {
		return ansible.Reply{}, fmt.Errorf("close session: %w", err)
	}
	return ansible.Reply{
		Msg:  fmt.Sprintf("node %s lists %d repositories", m.NodeID, len(m.Listed)),
		Data: map[string]any{"session": m},
	}, nil
}

// listed are the global repositories that the API lists.
func (v *verification) listed(ctx context.Context) ([]string, error) {
	repos, err := v.api.Repositories(ctx)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, r := range repos {
		if r.Global {
			names = append(names, r.Alias)
		}
	}
	slices.Sort(names)
	return names, nil
}

// likeFirst compares this node with the other one.
func (v *verification) likeFirst(ctx context.Context, entries []entry) error {
	var m met
	raw, err := json.Marshal(v.args.First)
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	if err != nil {
		return problem.Problem{What: "not what mode=session replies: " + err.Error(), At: "first",
			Fix: "run cluster-node.yml, which asks a node that works in the same run"}
	}
	var problems problem.List
	problems.Add(v.sameRelease(ctx, m))
	problems.Add(v.sameSession(ctx, m))
	problems.Add(v.nothingRemoved(ctx, m, entries))
	return problems.Err()
}

func (v *verification) sameRelease(ctx context.Context, m met) error {
	here, _ := v.reply.Data["server_version"].(string)
	if here == m.Version {
		v.passed(ctx, "Release", here+", as node "+m.NodeID)
		return nil
	}
	v.failed(ctx, "Release", here+", and "+m.Version+" on node "+m.NodeID)
	return problem.Problem{What: fmt.Sprintf("CIDX %s here, and %s on node %s", here, m.Version, m.NodeID), At: v.api.Base(),
		Fix: "stop this server, install the same release on every node, then run the same playbook again"}
}

// sameSession shows the other node's token to this one.
func (v *verification) sameSession(ctx context.Context, m met) error {
	token := ""
	if err := seal.Open(v.args.Seal, m.Sealed, &token); err != nil {
		return problem.Problem{What: "the session of node " + m.NodeID + ": " + err.Error(), At: "first",
			Fix: "run cluster-node.yml, which asks a node that works in the same run"}
	}
	secret.Keep(ctx, token)
	switch {
	case token == "":
		v.passed(ctx, "Sessions", "one API key for both nodes; no login with a password was given")
		return nil
	case time.Since(m.Time) > freshly:
		v.passed(ctx, "Sessions", "that of node "+m.NodeID+" is too old by now to be tried")
		return nil
	}
	guest, err := cidxapi.New(ctx, cidxapi.Options{Base: v.api.Base(), Key: token})
	if err == nil {
		_, err = guest.CheckHealth(ctx)
	}
	if err != nil {
		v.failed(ctx, "Sessions", "that of node "+m.NodeID+" is refused here")
		return problem.Problem{What: "a session of node " + m.NodeID + " is refused here: " + cidxapi.Short(err), At: v.api.Base(),
			Fix: "see whether both servers use the same database (postgres_dsn), and their clocks"}
	}
	v.passed(ctx, "Sessions", "that of node "+m.NodeID+" is good here")
	return nil
}

// nothingRemoved compares with what was there before this node's first start: its
// reconciler removes what it does not find.
func (v *verification) nothingRemoved(ctx context.Context, m met, entries []entry) error {
	known := map[string]bool{}
	for _, e := range entries {
		known[e.Golden], known[e.Global] = true, true
	}
	now, err := v.listed(ctx)
	if err != nil {
		return err
	}
	var gone []string
	for _, name := range v.args.Registered {
		if !known[name] {
			gone = append(gone, name)
		}
	}
	for _, name := range m.Listed {
		if !slices.Contains(now, name) && !slices.Contains(gone, name) {
			gone = append(gone, name)
		}
	}
	if len(gone) == 0 {
		v.passed(ctx, "Nothing removed", fmt.Sprintf("%d repositories, as on node %s", len(now), m.NodeID))
		return nil
	}
	v.failed(ctx, "Nothing removed", fmt.Sprintf("%d are gone", len(gone)))
	return problem.Problem{What: "gone since this node was started: " + strings.Join(gone, ", "), At: "golden_repos_metadata, global_repos",
		Fix: "if nobody has removed them in the cluster meanwhile: " +
			"stop this node (cluster-node.yml with -e cidx_node_state=absent), and register them again on node " + m.NodeID}
}
