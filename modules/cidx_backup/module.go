// Package backup is the module cidx_backup: it keeps what a rollback needs, and
// brings it back.
//
// prepared: config.json.pre-cluster (a standalone configuration, written once),
// while the server still answers. taken: that, and private snapshots of every SQLite file with its write-ahead log, the key
// files and the original alias files, all hashed and synced. The sources are
// only read, and proven not to have changed meanwhile. restored: what a cluster
// start has written into the SQLite files and key files is set aside and the
// originals come back; restorable looks before anything is touched whether that
// can be done. proven: the sources are as they were.
//
// A snapshot set is never overwritten: where the sources have changed since, it
// is renamed and a new one is taken.
package backup

import (
	"context"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/kept"
)

// name of the module in the journal.
const name = home.BackupModule

// Events of the journal.
const (
	eventPrepared  = "prepared"
	eventTaken     = "taken"
	eventRestoring = "restoring"
	eventRestored  = "restored"
)

// args are described in plugins/modules/cidx_backup.yml.
type args struct {
	home.Common
	Wanted string `arg:"state" default:"taken" choices:"prepared,taken,restorable,restored,proven"`
}

// Module returns cidx_backup.
func Module() ansible.Module {
	return ansible.New(ansible.Spec{Name: name}, func(ctx context.Context, a args, mode ansible.Mode) (ansible.Reply, error) {
		return (&keeper{args: a, check: mode.Check}).run(ctx)
	})
}

// keeper is one call.
type keeper struct {
	args
	check  bool
	reply  ansible.Reply
	places *kept.Places

	// reached, if set, is called before each change; tests stop there.
	reached func(what string)
}

func (k *keeper) run(ctx context.Context) (ansible.Reply, error) {
	k.reply.Data = map[string]any{"differences": []kept.Difference{}}
	err := k.do(ctx)
	if err != nil {
		k.reply.Msg = ""
	}
	return k.reply, err
}

func (k *keeper) do(ctx context.Context) (err error) {
	if k.places, err = kept.Open(k.Common); err != nil {
		return err
	}
	defer k.places.Close() //nolint:errcheck // folders, of which nothing was written
	switch k.Wanted {
	case "prepared":
		return k.prepare(ctx)
	case "restorable":
		return k.restorable(ctx)
	case "restored":
		return k.restore(ctx)
	case "proven":
		return k.prove(ctx)
	}
	return k.take(ctx)
}

func (k *keeper) note(event string, data map[string]any) error {
	return journal.Append(k.State().Journal(), name, event, data)
}

func (k *keeper) reach(what string) {
	if k.reached != nil {
		k.reached(what)
	}
}
