package share

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// abandoned is the age at which a probe folder of another node is stale.
const abandoned = time.Hour

// workFolder is the name of a new probe folder. It names the node and the
// process that asked for the probe, which outlives its children: a folder
// without it is stale.
func workFolder(dir string) string {
	return filepath.Join(dir, fmt.Sprintf("%s%s-%d-%d", workPrefix, node(), os.Getppid(), time.Now().UnixNano()))
}

func node() string {
	name, err := os.Hostname()
	if err != nil || strings.ContainsAny(name, "/") {
		return "node"
	}
	return name
}

// sweep removes what killed probes left behind: at once where this node can see
// that the process is gone, after an hour otherwise.
func sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || !strings.HasPrefix(e.Name(), workPrefix) {
			continue
		}
		if widowed(e.Name()) || time.Since(info.ModTime()) > abandoned {
			_ = os.RemoveAll(filepath.Join(dir, e.Name())) // the next probe tries again
		}
	}
}

// widowed reports whether the folder is of a process of this node that is gone.
func widowed(name string) bool {
	rest, ours := strings.CutPrefix(name, workPrefix+node()+"-")
	if !ours {
		return false
	}
	text, _, _ := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(text)
	return err == nil && unix.Kill(pid, 0) == unix.ESRCH
}
