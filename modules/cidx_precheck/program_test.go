package precheck

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/service"
)

// A server whose program was removed under it answers until it is stopped.
func TestAUnitWhoseProgramIsGoneIsFound(t *testing.T) {
	dir := t.TempDir()
	there, gone, broken := filepath.Join(dir, "python"), filepath.Join(dir, "gone"), filepath.Join(dir, "broken")
	must(t, os.WriteFile(there, nil, 0o700))
	must(t, os.Symlink(gone, broken))
	for name, c := range map[string]struct {
		unit service.Unit
		at   string // "": nothing is found
	}{
		"it is there":                        {service.Unit{ID: "cidx-server.service", Exec: []string{there + " -m uvicorn"}}, ""},
		"it is gone":                         {service.Unit{ID: "cidx-server.service", Exec: []string{gone + " -m uvicorn"}}, gone},
		"it is a link to what is gone":       {service.Unit{ID: "cidx-server.service", Exec: []string{there, broken + " -m uvicorn"}}, broken},
		"it lies in a root of the unit's":    {service.Unit{ID: "cidx-server.service", Exec: []string{gone}, Rooted: true}, ""},
		"it is found by systemd in its path": {service.Unit{ID: "cidx-server.service", Exec: []string{"uvicorn app"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			problems := program(t.Context(), c.unit)
			if c.at == "" && len(problems) > 0 || c.at != "" && (len(problems) != 1 || problems[0].At != c.at || !strings.Contains(problems[0].Fix, "ExecStart of cidx-server.service")) {
				t.Errorf("found: %v", problems)
			}
		})
	}
}
