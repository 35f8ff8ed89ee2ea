package precheck

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/service"
)

// hang puts a mount over the share whose file server never answers.
func (s *stage) hang(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no /dev/fuse: %v", err)
	}
	if err := unix.Mount("cidx-hung", s.Share, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)); err != nil {
		unix.Close(fd)
		t.Skipf("cannot mount FUSE here: %v", err)
	}
	t.Cleanup(func() {
		unix.Close(fd)
		_ = unix.Unmount(s.Share, unix.MNT_DETACH)
	})
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
