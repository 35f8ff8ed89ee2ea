package backup

import (
	"context"
	"fmt"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/kept"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
)

// prove compares every source with the record.
func (k *keeper) prove(ctx context.Context) error {
	m, ok, err := kept.Read(k.places)
	if err != nil {
		return err
	}
	if !ok {
		k.reply.Msg = "no backup was taken, there is nothing to compare with"
		return nil
	}
	differences, err := m.Compare(k.places)
	if err != nil {
		return err
	}
	files, bytes := m.Present("")
	k.reply.Data["files"], k.reply.Data["bytes"], k.reply.Data["differences"] = files, bytes, differences
	k.reply.Data["kept_since"] = m.Time.Local().Format("2006-01-02 15:04:05")
	if len(differences) == 0 {
		k.reply.Msg = fmt.Sprintf("%d files are as they were before the migration", files)
		progress.Line(ctx, "  Sources: %s as before the migration (%s)", human.Count(files, "file", "files"), human.Bytes(bytes))
		return nil
	}
	var problems problem.List
	for _, d := range differences {
		p := problem.Problem{What: d.What + " since the backup", At: d.Path, Fix: "find out who has written it"}
		if d.Of.Copy != "" {
			p.Fix = "the original is kept in " + k.State().Path(d.Of.Copy)
		}
		problems = append(problems, p)
	}
	return problems.Err()
}

// restorable looks, before a rollback touches anything, whether it will find
// what it needs: the record, the copies of all that a cluster start writes, and
// the alias files in the folder that was set aside.
func (k *keeper) restorable(ctx context.Context) error {
	standing, err := k.Standing()
	if err != nil {
		return err
	}
	if standing.Accepted != nil {
		return standing.Accepted.NoWayBack(k.State())
	}
	const lost = "put the state folder back from a backup of the node; " +
		"without it this migration cannot be rolled back, and the cluster node goes on as it is"
	if standing.Forgotten || standing.Stray || len(standing.Entries) == 0 && k.cutOver(standing) {
		return problem.Problem{What: "the journal of the migration is gone, so that it is not known what a rollback has to undo",
			At: k.State().Journal(), Fix: lost}
	}
	m, ok, err := kept.Read(k.places)
	if err != nil {
		return err
	}
	if !ok {
		if !k.cutOver(standing) {
			k.reply.Msg = "no cut-over has begun, so nothing is to be restored"
			return nil
		}
		return problem.Problem{
			What: "the record of the backup is gone, and with it the way back to the SQLite files as they were: " +
				"the cluster node has written to them", At: k.State().Backup(), Fix: lost,
		}
	}
	var needed []kept.Source
	for _, s := range m.Sources {
		if k.ownWrites(ctx, standing) == "" && (s.Kind == kept.Database || s.Kind == kept.Key) {
			needed = append(needed, s)
		}
	}
	problems, err := k.places.Copies(needed)
	if err != nil {
		return err
	}
	aliases, err := k.lostAliases(m)
	if err != nil {
		return err
	}
	files, bytes := m.Present("")
	k.reply.Msg = fmt.Sprintf("%s (%s) can be restored", human.Count(files, "file", "files"), human.Bytes(bytes))
	return append(problems, aliases...).Err()
}

// cutOver reports whether a cluster node may have written to this home; also
// where the journal is lost, by the folders that were set aside.
func (k *keeper) cutOver(standing home.Standing) bool {
	if standing.Cutover == home.ToCluster || standing.Begun != "" {
		return true
	}
	for _, t := range home.AllTrees(k.Home, "") {
		if t.Moved() {
			return true
		}
	}
	return false
}

// lostAliases are alias files that the folder of the standalone server no longer
// has. A cluster node never writes there.
func (k *keeper) lostAliases(m kept.Record) (problem.List, error) {
	differences, err := m.Compare(k.places)
	if err != nil {
		return nil, err
	}
	var problems problem.List
	for _, d := range differences {
		if d.Of.Kind != kept.Alias || d.What != kept.Missing {
			continue
		}
		problems = append(problems, problem.Problem{What: "the alias file of the standalone server is gone", At: d.Path,
			Fix: "put it back: cp -p " + k.State().Path(d.Of.Copy) + " " + d.Path})
	}
	return problems, nil
}
