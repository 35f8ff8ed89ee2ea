package files

import (
	"os"
	"path/filepath"
	"testing"

	"cidx-cluster/modules/internal/manifest"
)

// TestAFolderThatIsGoneTookItsCopiedFoldersAlong: a copy was interrupted when a
// folder was open and the empty one in it was recorded as copied; then somebody
// removed the outer one from the share.
func TestAFolderThatIsGoneTookItsCopiedFoldersAlong(t *testing.T) {
	for _, rel := range []string{"flask/idx", "flask"} {
		t.Run(rel, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.fillForFaults()
			s.do(os.MkdirAll(s.path(repo+"idx/empty/within"), 0o755))
			s.mustArgs(s.faultArgs(phaseWarm))
			m, err := manifest.Open(s.args(phaseWarm).State().Manifest("golden-repos"))
			s.do(err)
			s.do(m.Put(rel, m.Group(rel).Stats, make([]byte, len(m.Group(rel).Flags))))
			s.do(m.Close())
			s.do(os.RemoveAll(filepath.Join(s.share, "golden-repos", rel)))
			s.mustArgs(s.faultArgs(phaseDelta))
			s.mustEqual()
		})
	}
}
