package precheck

import (
	"context"
	"strings"
	"testing"
	"time"

	"cidx-cluster/modules/internal/hungtest"
	"cidx-cluster/modules/internal/service"
)

// hang puts a mount over the share whose file server never answers.
func (s *stage) hang(t *testing.T) {
	t.Helper()
	hungtest.Over(t, s.Share)
	s.real = true
}

func TestAShareThatHangsIsToldOnceAndTheOtherChecksGoOn(t *testing.T) {
	cases := map[string]func(*testing.T, *stage){
		"before a migration": func(*testing.T, *stage) {},
		"after a migration":  migrated,
	}
	for name, prepare := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			prepare(t, s)
			s.hang(t)
			begun := time.Now()
			e := &examiner{args: s.args, patience: time.Second, control: service.New(s.args.Args, s.args.Common)}
			reply, err := e.run(context.Background())
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("took %v with a patience of 1 s", took)
			}
			if err == nil || strings.Count(err.Error(), "does not answer") != 1 || !strings.Contains(err.Error(), "umount -f -l "+s.Share) {
				t.Errorf("got %v", err)
			}
			for _, c := range reply.Checks {
				if bad := c.Name == "NFS mount" || c.Name == "Disk space"; c.OK == bad {
					t.Errorf("%+v", c)
				}
			}
		})
	}
}
