package judge

import (
	"os"
	"path/filepath"
	"testing"
)

// Each command spoils one thing on the share, in the configuration or in the
// links; the judge must name it, and nothing else.
func TestSpoiltFilesAreFound(t *testing.T) {
	f := newFixture(t, "real")
	f.copyTrees()
	f.cutOver()
	f.comparison.Only = []string{PartFiles, PartAliases, PartConfig}
	vectors, _ := filepath.Glob(f.share + "/golden-repos/payments_core/.code-indexer/index/*/*/*/vector_*.json")
	if len(vectors) == 0 {
		t.Fatal("no vectors")
	}
	t.Setenv("VECTOR", vectors[0])
	spoilt := map[string]string{
		"golden-repos/billing/README.md":           `touch -r "$SHARE/golden-repos/billing/README.md" "$SHARE/../s" && sed -i 's/T/t/' "$SHARE/golden-repos/billing/README.md" && touch -r "$SHARE/../s" "$SHARE/golden-repos/billing/README.md"`,
		"golden-repos/billing":                     `touch "$SHARE/golden-repos/billing"`,
		"golden-repos/billing/assets/private.key":  `chmod 0600 "$SHARE/golden-repos/billing/assets/private.key"`,
		"golden-repos/billing/assets/run.sh":       `touch -d '2001-01-01' "$SHARE/golden-repos/billing/assets/run.sh"`,
		"golden-repos/billing/assets/link-outside": `ln -sfn ../outside "$SHARE/golden-repos/billing/assets/link-outside"`,
		"golden-repos/billing/assets/twin-b":       `cp -p "$SHARE/golden-repos/billing/assets/twin-b" "$SHARE/../twin" && cp -p --remove-destination "$SHARE/../twin" "$SHARE/golden-repos/billing/assets/twin-b"`,
		"golden-repos/billing/assets":              `touch "$SHARE/golden-repos/billing/assets"`,
		"golden-repos/billing/assets/empty":        `rmdir "$SHARE/golden-repos/billing/assets/empty"`,
		"golden-repos/payments_core" + vectors[0][len(f.share+"/golden-repos/payments_core"):]:               `rm "$VECTOR"`,
		"golden-repos/payments_core" + filepath.Dir(vectors[0])[len(f.share+"/golden-repos/payments_core"):]: ``,
		"golden-repos/.locks":                                        `mkdir "$SHARE/golden-repos/.locks"`,
		"golden-repos/.reconciliation_complete_v1":                   `rm "$SHARE/golden-repos/.reconciliation_complete_v1"`,
		"activated-repos/pia/mine_metadata.json":                     `echo >> "$SHARE/activated-repos/pia/mine_metadata.json"`,
		"golden-repos/aliases/eu-global-global.json":                 `f="$SHARE/golden-repos/aliases/eu-global-global.json"; sed -i 's/"repo_name": /"repo_name":  /' "$f"`,
		"golden-repos/aliases/web-portal-global.json/target_path":    `f="$SHARE/golden-repos/aliases/web-portal-global.json"; sed -i '/"target_path"/s/golden-repos/golden-reposs/' "$f"`,
		"golden-repos/aliases/lib.parsing-global.json/previous_path": `f="$SHARE/golden-repos/aliases/lib.parsing-global.json"; sed -i "/\"previous_path\"/s#$SHARE/golden-repos#$GOLDEN#" "$f"`,
		"golden-repos/aliases/billing-global.json":                   `chmod 0644 "$SHARE/golden-repos/aliases/billing-global.json"`,
		"share/.probe": `touch "$SHARE/.probe"`,
		"home/config.json.pre-cluster/storage_mode":           `sed -i 's/"sqlite"/"postgres"/' "$HOME_DIR/config.json.pre-cluster"`,
		"home/config.json.pre-cluster/server_threadpool_size": `sed -i '/server_threadpool_size/d' "$HOME_DIR/config.json.pre-cluster"`,
		"home/config.json/ontap.size":                         `sed -i 's/"nfs_export"/"size": 1, "nfs_export"/' "$HOME_DIR/config.json"`,
		"home/config.json/cluster.node_id":                    `sed -i 's/"node-1"/""/' "$HOME_DIR/config.json"`,
		"link/activated-repos":                                `ln -sfn /elsewhere "$HOME_DIR/data/activated-repos"`,
	}
	var names []string
	for name, script := range spoilt {
		names = append(names, name)
		f.shell(script)
	}
	if os.Geteuid() == 0 {
		names = append(names, "golden-repos/cidx-meta/README.md")
		f.shell(`chown 12345:12345 "$SHARE/golden-repos/cidx-meta/README.md"`)
	}
	wantNames(t, f.equal(), names...)
}

// Git's own files and links are copied as they are, absolute paths included.
func TestPathsOfGitAreNotRewritten(t *testing.T) {
	f := newFixture(t, "real")
	f.copyTrees()
	f.cutOver()
	f.comparison.Only = []string{PartFiles}
	wantNames(t, f.equal())
	const clone = "golden-repos/payments_core/"
	names := []string{
		clone + "assets/hotfix/.git", clone + ".git/worktrees/review/gitdir", clone + ".git/worktrees/hotfix/commondir",
		clone + ".git/worktrees/hotfix/config.worktree", clone + ".git/objects/info/alternates", clone + ".git/config",
	}
	for _, name := range names {
		f.shell(`file="$SHARE/` + name + `"; cp -p "$file" "$SHARE/../kept"; touch -r "$(dirname "$file")" "$SHARE/../folder"
			sed -E -i "s#$GOLDEN/#$SHARE/golden-repos/#" "$file"; if cmp -s "$file" "$SHARE/../kept"; then echo "no change"; exit 1; fi
			touch -r "$SHARE/../kept" "$file"; touch -r "$SHARE/../folder" "$(dirname "$file")"`)
	}
	f.shell(`ln -sfn "$SHARE/golden-repos/web-portal/README.md" "$SHARE/golden-repos/billing/assets/link-absolute"
		touch -h -r "$GOLDEN.pre-cluster/billing/assets/link-absolute" "$SHARE/golden-repos/billing/assets/link-absolute"
		touch -r "$GOLDEN.pre-cluster/billing/assets" "$SHARE/golden-repos/billing/assets"`)
	wantNames(t, f.equal(), append(names, "golden-repos/billing/assets/link-absolute")...)
}

// What belongs to processes of the old machine must not arrive.
func TestWhatStaysBehindIsNotWanted(t *testing.T) {
	f := newFixture(t, "real")
	f.copyTrees()
	f.comparison.Only = []string{PartFiles}
	arrived := map[string]string{
		"golden-repos/payments_core/.git/gc.pid":                 `cp -p "$GOLDEN/payments_core/.git/gc.pid" "$SHARE/golden-repos/payments_core/.git/"`,
		"golden-repos/payments_core/.git/refs/heads/stale.lock":  `cp -p "$GOLDEN/payments_core/.git/refs/heads/stale.lock" "$SHARE/golden-repos/payments_core/.git/refs/heads/"`,
		"golden-repos/payments_core/assets/queue":                `mkfifo "$SHARE/golden-repos/payments_core/assets/queue"`,
		"golden-repos/aliases/.billing-global.json.x1y2.tmp":     `touch "$SHARE/golden-repos/aliases/.billing-global.json.x1y2.tmp"`,
		"golden-repos/.snapshot":                                 `mkdir "$SHARE/golden-repos/.snapshot"`,
		"golden-repos/payments_core/assets/yarn.lock":            `rm "$SHARE/golden-repos/payments_core/assets/yarn.lock"`,
		"golden-repos/payments_core/.git/hooks/folder.lock/keep": `rm "$SHARE/golden-repos/payments_core/.git/hooks/folder.lock/keep"`,
		"activated-repos/pia/.snapshot/of-the-user":              `rm "$SHARE/activated-repos/pia/.snapshot/of-the-user"`,
	}
	f.comparison.Ignore.Mtime = true
	var names []string
	for name, script := range arrived {
		names = append(names, name)
		f.shell(script)
	}
	wantNames(t, f.equal(), names...)
}
