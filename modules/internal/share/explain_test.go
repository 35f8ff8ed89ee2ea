package share

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestProblemsBringTheFixOfTheExport(t *testing.T) {
	refused, readOnly := unix.EACCES.Error(), unix.EROFS.Error()
	cases := map[string]struct {
		result Result
		what   string
		fix    string
	}{
		"root may not write":               {Result{Name: "access", As: "root", Detail: refused}, "access as root", "no_root_squash"},
		"root may not create":              {Result{Name: "create folder", As: "root", Detail: refused}, "create folder as root", "no_root_squash"},
		"the server's user may not create": {Result{Name: "create", As: "cidx", Detail: refused}, "create as cidx", "let cidx write"},
		"the export is read-only":          {Result{Name: "create folder", As: "root", Detail: readOnly}, "exported read-only", "(rw)"},
		"root's files are nobody's":        {Result{Name: "chown", As: "root", Detail: "id mapping"}, "chown as root", "without all_squash"},
		"owners are other ones there":      {Result{Name: "chown", As: "cidx", Detail: "id mapping"}, "chown as cidx", "no idmapping, no all_squash"},
		"the share has no room":            {Result{Name: "create folder", As: "root", Detail: unix.ENOSPC.Error()}, "the share is full", "free space (or inodes)"},
		"the quota is used up":             {Result{Name: "create", As: "cidx", Detail: unix.EDQUOT.Error()}, "quota", "raise the quota"},
		"no room shows at a later step":    {Result{Name: "chown", As: "root", Detail: "to 1:1: " + unix.ENOSPC.Error()}, "the share is full", "free space (or inodes)"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := &prober{request: request{Mount: "/mnt/shared", Dir: "/mnt/shared/golden-repos"}}
			problem, ok := p.meaning(c.result)
			if !ok || !strings.Contains(problem.What, c.what) || !strings.Contains(problem.Fix, c.fix) {
				t.Errorf("problem %+v, want %q with remedy %q", problem, c.what, c.fix)
			}
			if problem.At != "/mnt/shared/golden-repos" {
				t.Errorf("at %q", problem.At)
			}
		})
	}
}
