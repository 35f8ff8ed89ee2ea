package judge

import "testing"

// What the real server itself writes at a start and where it keeps its own books is no difference; the same elsewhere is.
func TestARunningServerKeepsItsOwnBooks(t *testing.T) {
	f := newFixture(t, "real", "-repos", "3")
	f.migrate()
	f.comparison.Running = true
	wantNames(t, f.equal())
	f.shell(`sqlite3 "$HOME_DIR/data/cidx_server.db" "INSERT INTO wiki_article_views VALUES ('billing', 'new.md', 1, '2099-01-01 00:00:00', '2099-01-01 00:00:00')"
		echo note > "$SHARE/golden-repos/cidx-meta/_server.md"; echo more >> "$SHARE/golden-repos/cidx-meta/README.md"
		sed -i "s#\"target_path\": \".*\"#\"target_path\": \"$GOLDEN/cidx-meta\"#" "$SHARE/golden-repos/aliases/cidx-meta-global.json"`)
	f.sql("UPDATE hnsw_orphan_sweep_state SET updated_at = now()",
		"UPDATE golden_repos_metadata SET clone_path = '"+f.golden+"/cidx-meta' WHERE alias = 'cidx-meta'",
		"UPDATE global_repos SET last_refresh = now() WHERE alias_name = 'cidx-meta-global'")
	wantNames(t, f.equal())
	f.shell(`sqlite3 "$HOME_DIR/data/cidx_server.db" "INSERT INTO wiki_article_views VALUES ('billing', 'old.md', 1, '2001-01-01 00:00:00', '2001-01-01 00:00:00')"
		echo note > "$SHARE/golden-repos/billing/_server.md"`)
	f.sql("UPDATE global_repos SET last_refresh = now() WHERE alias_name = 'billing-global'")
	wantNames(t, f.equal(), "postgres/wiki_article_views/billing+old.md", "golden-repos/billing/_server.md", "golden-repos/billing",
		"postgres/global_repos/billing-global/last_refresh")
}
