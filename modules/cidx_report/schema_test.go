package report

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"cidx-cluster/modules/internal/document"
)

// Every report is as docs/report.schema.json promises it, and the schema is strict:
// a field that is missing or that it does not know makes a report invalid.
func TestReportsAreAsTheSchemaSays(t *testing.T) {
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile("../../docs/report.schema.json")
	must(t, err)
	for _, outcome := range []string{document.Rehearsed, document.Migrated, document.Already, document.Refused, document.Failed, document.RolledBack, document.Verified, document.Accepted} {
		t.Run(outcome, func(t *testing.T) {
			home := newHome(t)
			put(t, filepath.Join(home, ".cluster-migrate/report/problems.jsonl"), "{}\n")
			if outcome == document.Accepted {
				put(t, filepath.Join(home, ".cluster-migrate/accepted.json"), record)
			}
			r := replies(t)
			r["files_rehearsal"] = map[string]any{"check_mode": true, "repaired": []any{"a/b"}, "foreign": []any{map[string]any{"path": "x", "why": "y"}}}
			r["database_rehearsal"] = map[string]any{"check_mode": true, "problems": []any{map[string]any{"what": "not a folder", "at": "x", "fix": "y"}}}
			raw := call(t, home, outcome, map[string]any{"replies": r, "server": map[string]any{"running": true}, "host": "n"}).Get("report").Raw
			if err := schema.Validate(decode(t, raw)); err != nil {
				t.Fatalf("%v\n%s", err, raw)
			}
			faults(t, decode(t, raw), func(what string, broken any) {
				if schema.Validate(broken) == nil {
					t.Errorf("valid all the same: %s", what)
				}
			})
		})
	}
}

func decode(t *testing.T, raw string) any {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(raw))
	must(t, err)
	return document
}

// optional fields are left out where there is nothing to say.
var optional = []string{"server_now", "forecast", "fact", "secrets", "acceptance", "data", "final", "digest", "status", "why", "golden", "word", "mode", "path"}

// faults tries the document with an unknown field in every object, and without each
// field that must be there.
func faults(t *testing.T, document any, try func(what string, broken any)) {
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch x := v.(type) {
		case []any:
			for i, item := range x {
				if i == 0 {
					walk(path+"[0]", item)
				}
			}
		case map[string]any:
			x["unknown"] = 1
			try(path+" with an unknown field", document)
			delete(x, "unknown")
			for _, name := range slices.Collect(maps.Keys(x)) {
				value := x[name]
				delete(x, name)
				if !strings.HasSuffix(path+"."+name, ".forecast.downtime") && !strings.Contains(" "+strings.Join(optional, " ")+" ", " "+name+" ") {
					try(path+" without "+name, document)
				}
				x[name] = value
				if name != "data" && name != "secrets" {
					walk(path+"."+name, value)
				}
			}
		}
	}
	walk("report", document)
	if raw, err := json.Marshal(document); err != nil || len(raw) < 500 {
		t.Errorf("the document was broken: %v", err)
	}
}
