package precheck

import (
	"context"
	"os"
	"time"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/loaded"
	"cidx-cluster/modules/internal/postgres"
)

// judgeAccepted is judgeStanding for a migration that was accepted: the home is a
// cluster node's for good, or something is wrong with it.
func (e *examiner) judgeAccepted() {
	f := &e.found
	e.reply.Data["accepted"] = map[string]any{"time": f.standing.Accepted.Time.Format(time.RFC3339), "by": f.standing.Accepted.By}
	half := func(what, at, fix string) {
		f.halfway.Add(wrong(what+", but "+f.standing.Accepted.Sentence()+" and the standalone data was removed", at, fix))
	}
	if !f.now.Cluster() {
		half("config.json is standalone", f.now.Path,
			"put the cluster's configuration back (a backup of the node has it, or run cluster-join.sh), then start the server")
		return
	}
	for _, t := range home.AllTrees(e.Home, f.mount) {
		if target, ours := f.standing.Links()[t.Link]; ours {
			if to, err := os.Readlink(t.Link); err != nil || to != target {
				half("the repositories are no link to the share any more", t.Link,
					"stop the server, move away what lies there, and put the link back: ln -s "+human.Word(target)+" "+human.Word(t.Link))
			}
		}
	}
	f.migrated = len(f.halfway) == 0
}

// loadedFromHere asks PostgreSQL whether this home, of which no record is left and
// whose repositories are links, is the one that was migrated. Where it does not
// answer, the check of PostgreSQL says so.
func (e *examiner) loadedFromHere(ctx context.Context) bool {
	conn, err := postgres.Connect(ctx, e.dsn(), "cidx_precheck")
	if err != nil {
		return false
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	host, err := os.Hostname()
	m, asked := loaded.Latest(ctx, conn)
	return err == nil && asked == nil && m != nil && m.RolledBack == "" && m.Home == e.Home && m.Host == host
}
