package further

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/tidwall/gjson"

	"cidx-cluster/modules/cidx_config/cutover"
	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/jsonfile"
	"cidx-cluster/modules/internal/kept"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/seal"
)

// shared is what a node that works tells a further one. Nothing in it is secret
// but what Sealed holds, and that is closed.
type shared struct {
	Host    string            `json:"host"`
	Home    string            `json:"home"` // as the server itself spells it
	Share   string            `json:"share"`
	UID     int               `json:"uid"`
	GID     int               `json:"gid"`
	NodeID  string            `json:"node_id"`
	Backend string            `json:"backend"`
	Ahead   float64           `json:"ahead"`   // of PostgreSQL's clock, in seconds
	Trees   []string          `json:"trees"`   // links to the share, below the home
	Aliases map[string]string `json:"aliases"` // in check mode: alias files on the share, each with a digest
	Time    time.Time         `json:"time"`    // before they were read
	Marker  string            `json:"marker"`  // file below golden-repos; "" in check mode
	Proof   string            `json:"proof"`   // its content
	Sealed  string            `json:"sealed"`  // handed, closed
}

// handed are the secrets among it.
type handed struct {
	DSN      string                     `json:"dsn"`
	Settings map[string]json.RawMessage `json:"settings"` // of config.json, for a node that was not joined
	Keys     keyFiles                   `json:"keys"`
	Cluster  string                     `json:"cluster"` // digest of PostgreSQL's cluster_secrets
}

// settings are the objects and values of config.json that name the share.
var settings = []string{"ontap", "cow_daemon", "clone_backend"}

// Share tells what a further node has to share with this one, which works.
func (n Node) Share(ctx context.Context) (ansible.Reply, error) {
	found, err := n.Find(ctx, n.DSN)
	if err == nil {
		err = n.works(found)
	}
	if err != nil {
		return ansible.Reply{}, err
	}
	s, err := n.gather(ctx, found)
	if err != nil {
		return ansible.Reply{}, err
	}
	golden, _ := found.Layout.Tree(cidx.GoldenRepos)
	if n.Mode.Check {
		s.Aliases, err = aliasDigests(golden.Target)
	} else {
		s.Marker, s.Proof, err = leaveMarker(golden.Target)
	}
	if err != nil {
		return ansible.Reply{}, err
	}
	return ansible.Reply{
		Msg: "node " + s.NodeID + " has told what a further node must share", Data: map[string]any{"cluster": s},
	}, nil
}

// Unshare takes the marker away.
func (n Node) Unshare() (ansible.Reply, error) {
	var s shared
	if err := decode(n.Cluster, &s); err != nil || s.Marker == "" {
		return ansible.Reply{Msg: "no marker is on the share"}, err
	}
	if !isMarker(s.Marker) || s.Share == "" {
		return ansible.Reply{}, notShared(fmt.Sprintf("%q is no marker of ours", s.Marker))
	}
	err := os.Remove(filepath.Join(s.Share, cidx.GoldenRepos, s.Marker))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ansible.Reply{}, fmt.Errorf("remove marker: %w", err)
	}
	return ansible.Reply{Msg: "the marker is taken away"}, nil
}

// works refuses to hand over what is not a working cluster's.
func (n Node) works(found cutover.Found) error {
	var problems problem.List
	add := func(what, at string) {
		problems = append(problems, problem.Problem{What: what, At: at,
			Fix: "migrate this server with cluster-migrate.yml first, or name a node that works in cidx_first_node"})
	}
	if !found.Now.Cluster() {
		add(fmt.Sprintf("storage_mode is %q: this server is no node of a cluster", found.Now.StorageMode), found.Now.Path)
	}
	if found.Standing.Unfinished() {
		add("its migration, or its way into the cluster, is not finished", n.State().Journal())
	}
	for _, t := range found.Trees {
		if t.State != home.LinkInPlace {
			add("does not lead to the share", t.Link)
		}
	}
	return problems.Err()
}

// gather reads what is to be shared.
func (n Node) gather(ctx context.Context, found cutover.Found) (shared, error) {
	s := shared{
		Home: home.ServerDir(n.Home, found.Now), Share: found.Share, UID: os.Geteuid(), GID: os.Getegid(),
		NodeID: found.Now.NodeID, Backend: found.Now.Backend, Time: time.Now().UTC(),
	}
	s.Host, _ = os.Hostname() // for messages only
	for _, t := range found.Trees {
		s.Trees = append(s.Trees, n.Rel(t.Link))
	}
	h := handed{DSN: found.Now.DSN, Settings: map[string]json.RawMessage{}}
	for _, key := range append([]string{"cluster"}, settings...) {
		if v := jsonfile.Get(found.Now.Raw, key); v.Exists() && v.Type != gjson.Null {
			h.Settings[key] = json.RawMessage(v.Raw)
		}
	}
	var err error
	if h.Keys, err = readKeys(ctx, n.Common); err == nil && h.Keys[kept.Salt] == nil {
		err = problem.Problem{What: "no such file; without it no node opens the stored tokens", At: filepath.Join(n.Home, kept.Salt),
			Fix: "start the server of this node once, or restore the file"}
	}
	if err != nil {
		return s, err
	}
	if err := found.Connect(ctx); err != nil {
		return s, err
	}
	defer found.Close(ctx)
	if h.Cluster, err = clusterDigest(ctx, found.Conn); err == nil {
		s.Ahead, err = ahead(ctx, found.Conn)
	}
	if err != nil {
		return s, postgres.Explain(err, found.Where)
	}
	s.Sealed, err = seal.Close(n.Seal, h)
	return s, err
}

// clusterDigest tells one cluster's database from any other: by the keys that its
// first start has put there.
func clusterDigest(ctx context.Context, conn *pgconn.PgConn) (string, error) {
	rows, err := postgres.Read(ctx, conn, `SELECT key_name, key_value FROM cluster_secrets
		WHERE key_name IN ('jwt_secret', 'mfa_encryption_key') ORDER BY 1`)
	if err != nil && postgres.Code(err) != postgres.UndefinedTable {
		return "", fmt.Errorf("read cluster_secrets: %w", err)
	}
	if len(rows) == 0 {
		return "", problem.Problem{What: "PostgreSQL holds no keys of a cluster (cluster_secrets)", At: "cluster_secrets",
			Fix: "start the first node of the cluster before others are added"}
	}
	h := sha256.New()
	for _, r := range rows {
		fmt.Fprintf(h, "%q=%q\n", r[0], r[1])
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// ahead is by how many seconds this machine's clock is before PostgreSQL's.
func ahead(ctx context.Context, conn *pgconn.PgConn) (float64, error) {
	asked := time.Now()
	rows, err := postgres.Read(ctx, conn, "SELECT extract(epoch FROM clock_timestamp())::float8")
	if err != nil {
		return 0, fmt.Errorf("read PostgreSQL's clock: %w", err)
	}
	var theirs float64
	if _, err := fmt.Sscan(string(rows[0][0]), &theirs); err != nil {
		return 0, fmt.Errorf("read PostgreSQL's clock: %w", err)
	}
	ours := asked.Add(time.Since(asked) / 2)
	return float64(ours.UnixMicro())/1e6 - theirs, nil
}

// aliasDigests reads the alias files on the share.
func aliasDigests(golden string) (map[string]string, error) {
	digests := map[string]string{}
	aliases, err := home.Aliases(golden)
	for _, a := range aliases {
		sum := sha256.Sum256(a.Raw)
		digests[a.Rel] = hex.EncodeToString(sum[:8])
	}
	return digests, err
}

// decode reads a dictionary that Ansible has passed on.
func decode(given map[string]any, into any) error {
	raw, err := json.Marshal(given)
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		return notShared("not what state=shared replies: " + err.Error())
	}
	return nil
}

func notShared(what string) error {
	return problem.Problem{What: what, At: "cluster", Fix: "give the reply of state=shared on a node that works, as cluster-node.yml does"}
}
