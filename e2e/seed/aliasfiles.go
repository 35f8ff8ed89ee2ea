package seed

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf16"
)

// pair is a key and its value in a JSON object that keeps its order.
type pair struct {
	key   string
	value any // string, bool, int or already encoded raw
}

type raw string

// pythonJSON writes an object as Python's json.dumps(indent=2) does: ASCII
// only, key order kept, no line end after it.
func pythonJSON(pairs []pair) []byte {
	var b strings.Builder
	b.WriteString("{")
	for i, p := range pairs {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n  " + asciiString(p.key) + ": ")
		switch v := p.value.(type) {
		case nil:
			b.WriteString("null")
		case string:
			b.WriteString(asciiString(v))
		case raw:
			b.WriteString(string(v))
		default:
			fmt.Fprintf(&b, "%v", v)
		}
	}
	b.WriteString("\n}")
	return []byte(b.String())
}

func asciiString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r < 0x20 || r > 0x7e && r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		case r >= 0x10000:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// makeAliases writes one alias file per repository, as AliasManager of CIDX
// 11.79 leaves them: mode 0600, previous_path only after a refresh.
func (w *world) makeAliases() error {
	for i, r := range w.repos {
		at := func(d time.Duration) string {
			return epoch.Add(-time.Duration(i)*time.Hour+d).Format("2006-01-02T15:04:05.000000") + "+00:00"
		}
		target := r.target()
		if i%4 == 3 {
			target = untidy(target)
		}
		pairs := []pair{{"target_path", target}, {"created_at", at(-999 * time.Hour)}, {"last_refresh", at(-time.Minute)}, {"repo_name", r.alias}}
		if len(r.snapshots) > 0 {
			previous := r.clone
			if len(r.snapshots) > 1 {
				previous = r.snapshots[len(r.snapshots)-2]
			}
			switch i % 4 {
			case 1: // deleted a moment after the swap, as CIDX does
				previous = filepath.Join(filepath.Dir(previous), "v_1600000000")
			case 3:
				previous = untidy(previous)
			}
			pairs = append(pairs, pair{"previous_path", previous}, pair{"swapped_at", at(-time.Minute - time.Microsecond)})
		}
		switch i % 4 {
		case 1: // keys of another release stay; a path in one is not a path of ours
			pairs = append(pairs, pair{"note", "Zürich – 漢字 🚀 \\ / \""}, pair{"seen_path", r.clone})
		case 2:
			pairs = append(pairs, pair{"extra", raw(`{"target_path": "` + r.clone + `",   "n": 1.50}`)})
		}
		if err := writeFile(filepath.Join(w.place.aliases, r.global()+".json"), pythonJSON(pairs), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// untidy spells a path as scripts and hand-made edits do; it leads to the same place.
func untidy(path string) string {
	return strings.Replace(filepath.Dir(path), "/golden-repos", "//golden-repos/.", 1) + "/./" + filepath.Base(path)
}

// makeTreeRest adds what lies in the golden-repos tree beside repositories:
// things to copy, and caches, locks and markers that belong to the old server.
func (w *world) makeTreeRest() error {
	files := map[string]string{
		"cidx-exports/query-analytics/export-0002.csv": "timestamp,user,query\n1767312000.5,admin,straße\n",
		".langfuse_state/sync.json":                    `{"last": null}`,
		"langfuse_traces_jörg/trace-1.json":            `{"trace": 1}`,
		".reconciliation_complete_v1":                  "",
		"metadata.json":                                `{"legacy": true}`,
		"cidx-meta/dependency-map/_index.md":           "# Dependency map\n",
		".locks/billing.lock":                          `{"pid": 4242, "host": "cidx-host"}`,
		".write_mode/billing.json":                     `{"source": "ops"}`,
		"cidx-meta/dependency-map/_active_x.lock":      `{"node_id": "cidx-host", "pid": 4242}`,
	}
	attic := filepath.Join(w.place.aliases, "attic.json", "notes.txt") // a folder with the name of an alias file
	if err := writeFile(attic, []byte("nobody's alias\n"), 0o644); err != nil {
		return err
	}
	for _, r := range w.repos {
		files["cidx-meta/"+r.alias+".md"] = "---\nname: " + r.alias + "\n---\nAbout " + r.alias + "\n"
	}
	for name, content := range files {
		if err := writeFile(filepath.Join(w.place.golden, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
