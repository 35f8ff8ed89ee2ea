package precheck

import (
	"context"
	"fmt"
	"os"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
)

// findings are what several checks need; look gathers them once.
type findings struct {
	now       home.Config // config.json
	nowErr    error
	cluster   home.Config // the cluster's settings: config.json, or the copy kept after a rollback
	err       error       // of cluster
	mount     string
	mountErr  error
	hung      error // the share does not answer
	standing  home.Standing
	standErr  error
	layout    home.Layout
	layoutErr error
	looked    bool // layout was looked for
	migrated  bool
	halfway   problem.List
	unclean   bool         // the state folder holds what no release puts there: nothing in it is believed
	closed    problem.List // files of the server that its user cannot read
	jobs      []home.Job   // that have not ended
}

// look reads configuration and journal; nothing of the share is touched.
func (e *examiner) look(ctx context.Context) {
	f := &e.found
	f.now, f.nowErr = e.Config(ctx)
	f.cluster, f.err = e.ClusterConfig(ctx)
	f.mount, f.mountErr = e.MountPoint(f.cluster)
	f.closed = e.closed()
	if f.standErr = e.stateFolder(); f.standErr != nil {
		f.unclean = true
	} else {
		f.standing, f.standErr = e.Standing()
	}
	e.judgeStanding(ctx)
}

// where looks which layout the home has. It may touch the share, through links
// that somebody else has made, so it asks first whether the share answers.
func (e *examiner) where(ctx context.Context) (home.Layout, error) {
	f := &e.found
	if f.looked {
		return f.layout, f.layoutErr
	}
	f.looked = true
	if e.linked() {
		if f.layoutErr = e.alive(ctx); f.layoutErr != nil {
			return f.layout, f.layoutErr
		}
	}
	f.layout, f.layoutErr = home.Detect(e.Home, f.mount)
	if f.layoutErr == nil {
		e.reply.Data["layout"] = f.layout.Kind
	}
	return f.layout, f.layoutErr
}

// linked reports whether any tree is a link that no cut-over has made.
func (e *examiner) linked() bool {
	for _, t := range home.AllTrees(e.Home, e.found.mount) {
		if info, err := os.Lstat(t.Link); err == nil && info.Mode()&os.ModeSymlink != 0 && !t.Moved() {
			return true
		}
	}
	return false
}

// judgeStanding finds out whether this home was migrated before, and states
// from which no migration may start.
func (e *examiner) judgeStanding(ctx context.Context) {
	f := &e.found
	half := func(what, fix string) { f.halfway.Add(wrong(what, e.Home, fix)) }
	const rollback = "run cluster-rollback.yml to put everything back, then migrate again"
	inPlace, moved := e.links()
	switch {
	case f.standErr != nil || f.nowErr != nil:
	case f.standing.Begun == home.ToStandalone:
		half("a rollback was interrupted", "finish it with cluster-rollback.yml, then migrate again")
	case f.standing.Begun == home.ToNode || f.standing.Begun == home.Apart:
		half("cluster-node.yml was interrupted on this server", "run it again as it was called, which finishes it")
	case f.standing.Node():
		f.migrated = true // by another one: there is nothing to move
	case f.standing.Accepted != nil:
		e.judgeAccepted()
	case f.standing.Stray && f.now.Cluster():
		f.migrated = e.loadedFromHere(ctx)
	case f.standing.Forgotten && !f.now.Cluster():
		half("config.json is standalone, but the repositories are links to the share, and the record of their migration is gone",
			"put the state folder and the *"+home.PreCluster+" folders back from a backup of the node, then run cluster-rollback.yml")
	case f.standing.Forgotten:
		f.migrated = true
	case f.standing.Cutover == home.ToCluster && !f.now.Cluster():
		half("config.json is standalone again, but the repositories still are links to the share: rolled back by hand", rollback)
	case f.standing.Cutover == home.ToCluster && !inPlace:
		half("the home was migrated, but a repository folder is no link to the share any more", rollback)
	case f.standing.Cutover == home.ToCluster:
		f.migrated = f.standing.Migrated()
	case moved && f.standing.Begun != home.ToCluster:
		half("folders were moved aside ("+home.PreCluster+"), but the journal "+e.State().Journal()+" knows of no migration",
			"if cidx_state_dir was changed, set it back; else put the state folder back from a backup of the node, and go on with "+
				"cluster-rollback.yml: without the journal nothing can be undone")
	}
}

// notMigrated reports whether it is known that this home was not migrated: a
// journal that cannot be read says nothing.
func (f findings) notMigrated() bool { return f.standErr == nil && f.nowErr == nil && !f.migrated }

// links reports whether every tree that was moved aside has its link, and
// whether any was moved.
func (e *examiner) links() (inPlace, moved bool) {
	inPlace = true
	for _, t := range home.AllTrees(e.Home, e.found.mount) {
		if !t.Moved() {
			continue
		}
		moved = true
		if to, err := os.Readlink(t.Link); err != nil || e.found.mount != "" && to != t.Target {
			inPlace = false
		}
	}
	return inPlace, moved
}

// lastEvent describes the newest line of the journal.
func (f findings) lastEvent() string {
	if len(f.standing.Entries) == 0 {
		return "nothing was done"
	}
	last := f.standing.Entries[len(f.standing.Entries)-1]
	return fmt.Sprintf("last: %s %s, %s", last.Module, last.Event, last.Time.Local().Format("2006-01-02 15:04"))
}
