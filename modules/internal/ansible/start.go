package ansible

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// start starts a child of another user so that neither it nor anything that it
// starts can gain a right again: no new privileges, no capability. These are
// properties of a thread, so one is given up for it.
func start(child *exec.Cmd) error {
	if err := lendSelf(); err != nil {
		return err
	}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this function
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			started <- fmt.Errorf("give up new privileges: %w", err)
			return
		}
		_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) // kernels before 4.3 know none
		for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
			_ = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0) // a capability that this kernel does not know
		}
		started <- child.Start()
	}()
	return <-started
}

// lendSelf lets every user execute this program's file: the child is started
// from it, and starts probes of it as /proc/self/exe. The folder stays closed to
// them.
func lendSelf() error {
	const self = "/proc/self/exe"
	info, err := os.Stat(self)
	if err != nil {
		return fmt.Errorf("look at helper: %w", err)
	}
	if info.Mode()&0o001 != 0 {
		return nil
	}
	if err := os.Chmod(self, info.Mode().Perm()|0o011); err != nil {
		return fmt.Errorf("make helper executable: %w", err)
	}
	return nil
}
