package judge

import "testing"

// makeUntidy gives a home what real ones have: a link in place of the snapshots, paths with // and /./, a folder named as an
// alias file, a link target that is no UTF-8, an encoded file:// URL.
func (f *fixture) makeUntidy() {
	f.shell(`mv "$GOLDEN/.versioned" "$HOME_DIR/../snapshots"; ln -s ../../../snapshots "$GOLDEN/.versioned"
		mkdir "$GOLDEN/aliases/folder.json"; ln -s nowhere "$GOLDEN/aliases/dangling.json"
		ln -sfn "$(printf 'caf\351')" "$GOLDEN/billing/assets/link-latin1"; ln -s "$GOLDEN//web-portal/./README.md" "$GOLDEN/billing/assets/link-untidy"
		sed -i 's#golden-repos/#golden-repos//./#' "$GOLDEN/aliases/lib.parsing-global.json"
		git config --file "$GOLDEN/web-portal/.git/config" remote.encoded.url "file://$(echo "$GOLDEN" | sed 's/golden-repos/golden%2Drepos/')/billing"`)
}

// followSnapshots copies what the link leads to, as a migration that follows it does.
func (f *fixture) followSnapshots() {
	f.shell(`rm "$SHARE/golden-repos/.versioned"
		rsync -aH --no-specials --no-devices --modify-window=-1 --exclude=/.snapshot --include='*/' --exclude='**.git/**.lock' --exclude='**.git/gc.pid' "$HOME_DIR/../snapshots/" "$SHARE/golden-repos/.versioned/"
		touch -r "$GOLDEN/" "$SHARE/golden-repos"`)
}

func TestUntidyHomesAreJudgedByWhereTheirPathsLead(t *testing.T) {
	f := newFixture(t, "real")
	f.makeUntidy()
	f.copyTrees()
	f.followSnapshots()
	f.comparison.Only = []string{PartFiles, PartAliases}
	wantNames(t, f.equal())
	f.comparison.Ignore.Mtime = true
	f.shell(`ln -sfn "$(printf 'caf\352')" "$SHARE/golden-repos/billing/assets/link-latin1"
		sed -i 's#golden-repos/#golden-repos/../#' "$SHARE/golden-repos/aliases/lib.parsing-global.json"
		file=$(find "$SHARE/golden-repos/.versioned" -name README.md | sort | head -1); echo more >> "$file"
		file="$SHARE/golden-repos/web-portal/.git/config"; touch -r "$(dirname "$file")" "$SHARE/../folder"
		sed -i "s#file://.*/billing#file://$SHARE/golden-repos/billing#" "$file"; touch -r "$SHARE/../folder" "$(dirname "$file")"`)
	wrong := []string{"golden-repos/billing/assets/link-latin1", "golden-repos/web-portal/.git/config",
		"golden-repos/aliases/lib.parsing-global.json/target_path", "golden-repos/aliases/lib.parsing-global.json/previous_path"}
	for _, d := range f.equal().Differences {
		if d.Category == "files" && d.Name != wrong[0] && d.Name != wrong[1] {
			wrong = append(wrong, d.Name) // the README of some snapshot: that there is one is the point
		}
	}
	if len(wrong) != 5 {
		t.Errorf("the changed file behind the link is not found: %q", wrong)
	}
	wantNames(t, f.equal(), wrong...)
}

func TestLinksAreKeptWhateverTheirBytes(t *testing.T) {
	f := newFixture(t, "real")
	f.makeUntidy()
	file := t.TempDir() + "/state"
	if err := f.take().Save(file); err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	wantNames(t, Same(loaded, f.take(), Changes{}))
	f.shell(`ln -sfn "$(printf 'caf\352')" "$GOLDEN/billing/assets/link-latin1"`)
	wantNames(t, Same(loaded, f.take(), Changes{}), "home/data/golden-repos/billing/assets/link-latin1", "home/data/golden-repos/billing/assets")
}

func TestURLsOfFilesAreComparedDecoded(t *testing.T) {
	p := &pathRule{spelling: SpellMount, trees: []tree{{"golden-repos", "/home/x/data/golden-repos", "/share/golden-repos"}}}
	for name, c := range map[string]struct {
		was, is string
		want    bool
	}{
		"encoded, then plain":          {"file:///home/x/data/golden%2Drepos/a%20b", "file:///share/golden-repos/a b", true},
		"encoded both":                 {"file:///home/x/data/golden-repos/a%20b", "file:///share/golden-repos/a%20b", true},
		"elsewhere, as it was":         {"file:///srv/a%20b", "file:///srv/a%20b", true},
		"a plain percent":              {"file:///home/x/data/golden-repos/100%", "file:///share/golden-repos/100%", true},
		"left at home":                 {"file:///home/x/data/golden-repos/a", "file:///home/x/data/golden-repos/b", false},
		"another one":                  {"file:///home/x/data/golden-repos/a%20b", "file:///share/golden-repos/a+b", false},
		"a sibling of the same prefix": {"file:///home/x/data/golden-repos-old/a", "file:///share/golden-repos-old/a", false},
		"another scheme never changes": {"https:///home/x/data/golden-repos/a", "https:///share/golden-repos/a", false},
	} {
		if got := p.equalURL(c.was, c.is); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
