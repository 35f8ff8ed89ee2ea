package judge

import (
	"os"
	"strings"
	"time"
)

// What a running server writes where only its own node sees it, or into its own repository. Only with Running.

// nodesOwn are tables that a node keeps in its SQLite file in cluster mode as well, with the column that says when.
var nodesOwn = map[string]string{"wiki_article_views": "last_viewed_at", "wiki_cache": "rendered_at", "wiki_sidebar_cache": "built_at"}

// metaAlias is the repository in which CIDX itself keeps its books.
const metaAlias = "cidx-meta"

// metaFile says whether a name in the golden-repos tree belongs to it.
func metaFile(rel string) bool {
	for _, root := range []string{metaAlias, ".versioned/" + metaAlias} {
		if rel == root || strings.HasPrefix(rel, root+"/") {
			return true
		}
	}
	return rel == "aliases/"+metaAlias+"-global.json"
}

// metaRows are the columns of cidx-meta's registry rows that a start or a refresh writes anew.
var metaRows = map[string]bool{"golden_repos_metadata.clone_path": true, "global_repos.index_path": true, "global_repos.last_refresh": true,
	"global_repos.next_refresh": true}

// cutOver is when the link took the place of the tree; the zero time before.
func (l layout) cutOver() time.Time {
	info, err := os.Lstat(l.trees[0].link)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		return time.Time{}
	}
	return info.ModTime()
}

// nodesOwnRow says whether a row of SQLite was written by the node itself after the cut-over.
func (m *merge) nodesOwnRow(was []liteValue) bool {
	written, is := nodesOwn[m.plan.table]
	if !is || !m.d.running {
		return false
	}
	cut := m.d.layout.cutOver()
	for i, c := range m.plan.columns {
		if c.name == written && !cut.IsZero() {
			at, _, err := parseLiteTime(was[i], time.UTC)
			return err == nil && !at.Before(cut.Truncate(time.Second))
		}
	}
	return false
}

// metaRow says whether a difference in a column is cidx-meta's own.
func (m *merge) metaRow(c column, was []liteValue) bool {
	return m.d.running && metaRows[c.id()] && strings.TrimSuffix(plain(was[0]), "-global") == metaAlias
}
