package lab

import (
	"os"
	"testing"
	"time"
)

// TestMigratedWhereRootIsSquashed: root is nobody on the share, the service's
// user is itself, and nothing of the run is root there.
func TestMigratedWhereRootIsSquashed(t *testing.T) {
	longer(t)
	s := scenarioOn(t, squashed, 5*time.Minute)
	s.migrate()
	s.judge("equal", "-running")
	s.serves(s.node)
	s.unchanged(s.migrate())
	s.rollback()
	s.serves(s.node)
}

// TestRefusedWhereNobodyMayWrite: the export squashes root, and its folder
// belongs to root on the file server. The precheck says so, with the remedy,
// before anything is copied; the server is not stopped.
func TestRefusedWhereNobodyMayWrite(t *testing.T) {
	s := scenarioOn(t, squashed, 3*time.Minute)
	s.must(os.Chown(s.lab.served(), 0, 0))
	// The kernel may show the folder for 30 s as it was before the lab was made
	// fresh (cidx-share): what it shows is made true.
	shown, err := os.Stat(s.lab.share())
	s.must(err)
	s.must(os.Chtimes(s.lab.served(), shown.ModTime(), shown.ModTime()))
	s.judge("hash", "-out", before)
	refused := s.play(2, "cluster-migrate.yml", "-l", "node1")
	s.says(refused, `NFS mount: FAILED`)
	s.says(refused, `chown the exported folder|no_root_squash`)
	s.says(refused, `did not stop it`)
	copied, err := os.ReadDir(s.lab.served())
	s.must(err)
	if len(copied) > 0 {
		t.Errorf("the share holds %s", copied)
	}
	s.judge("same", "-before", before, "-except", "home,home/*.db,home/*.db-wal,home/data") // which the server writes
	s.must(s.node.Healthy(s.ctx, 5*time.Second))
	s.serves(s.node)
}
