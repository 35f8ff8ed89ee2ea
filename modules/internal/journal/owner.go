package journal

import (
	"fmt"
	"os"
	"syscall"
)

// ownAs gives path the owner of parent; only root can and needs to.
func ownAs(parent, path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(parent)
	if err != nil {
		return fmt.Errorf("stat %s: %w", parent, err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if err := os.Lchown(path, int(owner.Uid), int(owner.Gid)); err != nil {
		return fmt.Errorf("give folder to its parent's owner: %w", err)
	}
	return nil
}
