package share

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFind(t *testing.T) {
	const table = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=continue
40 22 0:50 / /mnt/cidx\040shared rw,relatime shared:9 master:2 - nfs4 filer:/vol/cidx rw,vers=4.1,hard,timeo=600
41 22 0:51 / /mnt/twice rw - tmpfs first rw
42 22 0:52 / /mnt/twice ro,nosuid - nfs second:/x ro,soft
a torn line
`
	cases := map[string]struct {
		point string
		want  Mount
		ok    bool
	}{
		"a blank in the path is unescaped":   {"/mnt/cidx shared", Mount{"/mnt/cidx shared", "nfs4", "filer:/vol/cidx", []string{"rw", "relatime", "rw", "vers=4.1", "hard", "timeo=600"}}, true},
		"the topmost of stacked mounts wins": {"/mnt/twice", Mount{"/mnt/twice", "nfs", "second:/x", []string{"ro", "nosuid", "ro", "soft"}}, true},
		"a folder below a mount is no mount": {"/mnt/twice/x", Mount{}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m, ok := topmost(parseMounts(table), c.point)
			if ok != c.ok {
				t.Fatalf("find %s: ok %v", c.point, ok)
			}
			if d := cmp.Diff(c.want, m); d != "" {
				t.Errorf("mount (-want +got):\n%s", d)
			}
		})
	}
}
