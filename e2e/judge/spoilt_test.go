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

// What lives in git's own files, and absolute links into a tree that moved, may
// be spelled for the share; links and paths that only look alike may not.
func TestMendedPathsAreAccepted(t *testing.T) {
	f := newFixture(t, "real")
	f.copyTrees()
	f.cutOver()
	f.comparison.Only = []string{PartFiles}
	f.shell(`cd "$SHARE/golden-repos"
		ln -sfn "$(readlink billing/assets/link-absolute | sed "s#^$GOLDEN/#$SHARE/golden-repos/#")" billing/assets/link-absolute
		sed -i "s#$GOLDEN/#$SHARE/golden-repos/#" data.pipeline-v2/.git/objects/info/alternates Mobile_App/.git/config
		touch billing/assets data.pipeline-v2/.git/objects/info
		touch billing/src`)
	wantNames(t, f.equal(), "golden-repos/billing/src")
	f.shell(`cd "$SHARE/golden-repos"
		ln -sfn "$SHARE/golden-repos-old/README.md" billing/assets/link-sibling
		sed -i 's#filemode = true#filemode = false#' Mobile_App/.git/config
		sed -i "s#$GOLDEN/#$SHARE/golden-repos/#" cidx-meta/.code-indexer/config.json`)
	r := f.equal()
	wantNames(t, r, "golden-repos/billing/src", "golden-repos/billing/assets/link-sibling", "golden-repos/Mobile_App/.git/config",
		"golden-repos/Mobile_App/.git", "golden-repos/cidx-meta/.code-indexer/config.json", "golden-repos/cidx-meta/.code-indexer")
}
