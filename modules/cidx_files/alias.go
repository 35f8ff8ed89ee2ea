package files

import (
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/tree"
)

// alias reports whether an entry below root, the source or the share, is an alias
// file. cidx_aliases writes those on the share and takes away what is stale there;
// they are recorded here, so that a late change shows, and not copied.
func (p *part) alias(root, dir string, e *tree.Entry) bool {
	return p.name == cidx.GoldenRepos && (dir == "aliases" || dir == "") && e.IsRegular() && strings.HasSuffix(e.Name, ".json") &&
		home.IsAliasFile(filepath.Join(root, dir, e.Name))
}
