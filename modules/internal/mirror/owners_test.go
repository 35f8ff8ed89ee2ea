package mirror

import (
	"testing"

	"cidx-cluster/modules/internal/tree"
)

func TestWhoseEntriesCanBeCopied(t *testing.T) {
	user := &Owners{UID: 1500, GIDs: []uint32{1500, 33}}
	cases := map[string]struct {
		owners   *Owners
		uid, gid uint32
		want     bool
	}{
		"root copies anybody's, whoever that is":    {nil, 7, 8, true},
		"a user's own":                              {user, 1500, 1500, true},
		"a user's own, of another group of his":     {user, 1500, 33, true},
		"a user's own, of a group that is not his":  {user, 1500, 34, false},
		"somebody else's":                           {user, 0, 1500, false},
		"of the service user, strictly its group":   {&Owners{UID: 1500, GIDs: []uint32{1500}}, 1500, 1500, true},
		"of the service user, but of another group": {&Owners{UID: 1500, GIDs: []uint32{1500}}, 1500, 33, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := c.owners.has(&tree.Entry{UID: c.uid, GID: c.gid}); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
