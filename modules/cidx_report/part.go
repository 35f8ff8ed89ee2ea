package report

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/problem"
)

// partLimit is how many bytes of a file one reply carries.
const partLimit = 512 << 10

// part answers with a piece of a file of the report folder, so that nobody has
// to follow a path there as root.
func (a args) part() (ansible.Reply, error) {
	if a.Read != filepath.Base(a.Read) || a.Offset < 0 {
		return ansible.Reply{}, problem.Problem{
			What: fmt.Sprintf("not a file of the report: %q", a.Read), At: "read", Fix: "give a name as in files, without a folder",
		}
	}
	f, err := os.OpenFile(a.State().Report(a.Read), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return ansible.Reply{}, fmt.Errorf("read report: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return ansible.Reply{}, fmt.Errorf("read report: not a file: %s", f.Name())
	}
	raw := make([]byte, partLimit)
	n, err := f.ReadAt(raw, int64(a.Offset))
	if err != nil && !errors.Is(err, io.EOF) {
		return ansible.Reply{}, fmt.Errorf("read report: %w", err)
	}
	next := a.Offset + n
	return ansible.Reply{Data: map[string]any{
		"part": base64.StdEncoding.EncodeToString(raw[:n]), "next": next, "last": int64(next) >= info.Size() || n == 0,
	}}, nil
}
