package judge

import (
	"testing"
	"time"
)

func text(s string) liteValue { return liteValue{class: 't', text: s} }

func TestValues(t *testing.T) {
	zone := time.FixedZone("", 2*3600)
	trees := []tree{{name: "golden-repos", link: "/h/data/golden-repos", target: "/m/golden-repos"}}
	x := &comparer{zone: zone, paths: &pathRule{trees: trees, spelling: SpellMount}}
	at := func(kind string) column { return column{table: "t", name: "c", kind: kind, nullable: true} }
	tests := map[string]struct {
		column column
		was    liteValue
		is     string
		same   bool
	}{
		"equal text":                        {at("text"), text("a\x00ü"), "a\x00ü", true},
		"text with another normal form":     {at("text"), text("\u00e9"), "e\u0301", false},
		"a number in a text column":         {at("text"), liteValue{class: 'i', whole: 5}, "5", false},
		"an integer":                        {at("bigint"), liteValue{class: 'i', whole: -9007199254740993}, "-9007199254740993", true},
		"an integer off by one":             {at("bigint"), liteValue{class: 'i', whole: 9007199254740993}, "9007199254740992", false},
		"a true flag":                       {at("boolean"), liteValue{class: 'i', whole: 1}, "t", true},
		"a flag turned round":               {at("boolean"), liteValue{class: 'i', whole: 0}, "t", false},
		"a flag of 2":                       {at("boolean"), liteValue{class: 'i', whole: 2}, "t", false},
		"an exact double":                   {at("double precision"), liteValue{class: 'r', real: 0.30000000000000004}, "0.30000000000000004", true},
		"a double off by one bit":           {at("double precision"), liteValue{class: 'r', real: 0.30000000000000004}, "0.3", false},
		"a double kept as float4":           {at("real"), liteValue{class: 'r', real: 123.456789}, "123.45679", true},
		"a float4 that is off":              {at("real"), liteValue{class: 'r', real: 123.456789}, "123.457", false},
		"ISO with offset":                   {at("timestamp with time zone"), text("2026-01-02T03:04:05.000006+05:30"), "2026-01-01 21:34:05.000006+00", true},
		"an offset that was dropped":        {at("timestamp with time zone"), text("2026-01-02T03:04:05+05:30"), "2026-01-02 03:04:05+00", false},
		"naive UTC with a space":            {at("timestamp with time zone"), text("2026-01-02 03:04:05"), "2026-01-02 03:04:05+00", true},
		"naive UTC taken for local":         {at("timestamp with time zone"), text("2026-01-02 03:04:05"), "2026-01-02 01:04:05+00", false},
		"Z":                                 {at("timestamp with time zone"), text("2026-01-02T03:04:05.120Z"), "2026-01-02 03:04:05.12+00", true},
		"naive local":                       {column{table: "ssh_keys", name: "created_at", kind: "timestamp with time zone"}, text("2026-01-02T03:04:05"), "2026-01-02 01:04:05+00", true},
		"naive local taken for UTC":         {column{table: "ssh_keys", name: "created_at", kind: "timestamp with time zone"}, text("2026-01-02T03:04:05"), "2026-01-02 03:04:05+00", false},
		"epoch as text":                     {at("timestamp with time zone"), text("1767323045.123456"), "2026-01-02 03:04:05.123456+00", true},
		"epoch rounded to microseconds":     {at("timestamp with time zone"), text("1767323045.1234567"), "2026-01-02 03:04:05.123457+00", true},
		"epoch off by a millisecond":        {at("timestamp with time zone"), text("1767323045.123456"), "2026-01-02 03:04:05.124456+00", false},
		"ISO off by a microsecond":          {at("timestamp with time zone"), text("2026-01-02T03:04:05.000006+00:00"), "2026-01-02 03:04:05.000007+00", false},
		"wall time without a zone":          {at("timestamp without time zone"), text("2026-01-02 03:04:05"), "2026-01-02 03:04:05", true},
		"an impossible day":                 {at("timestamp with time zone"), text("2026-02-30T00:00:00"), "2026-03-02 00:00:00+00", false},
		"an empty time":                     {at("timestamp with time zone"), text(""), "1970-01-01 00:00:00+00", false},
		"JSON in another order and spacing": {at("jsonb"), text(`{"b": [1, 2.50], "a":1E+3}`), `{"a": 1000, "b": [1, 2.5]}`, true},
		"JSON with the last of equal keys":  {at("jsonb"), text(`{"a": 1, "a": 2}`), `{"a": 2}`, true},
		"JSON number beyond float64":        {at("jsonb"), text(`9007199254740993`), `9007199254740992`, false},
		"JSON escapes":                      {at("jsonb"), text(`"\u00e9\ud83d\ude00\/"`), `"é😀/"`, true},
		"JSON null is not a string":         {at("jsonb"), text(`null`), `"null"`, false},
		"JSON true is not 1":                {at("jsonb"), text(`true`), `1`, false},
		"JSON array in another order":       {at("jsonb"), text(`[1,2]`), `[2, 1]`, false},
		"JSON minus zero":                   {at("jsonb"), text(`-0.0`), `0.0`, true},
		"a type nobody knows":               {at("uuid"), text("a"), "a", false},
		"a path below the tree":             {column{table: "global_repos", name: "index_path", kind: "text"}, text("/h/data/golden-repos/a"), "/m/golden-repos/a", true},
		"a path that was left":              {column{table: "global_repos", name: "index_path", kind: "text"}, text("/h/data/golden-repos/a"), "/h/data/golden-repos/a", false},
		"a sibling that was moved":          {column{table: "global_repos", name: "index_path", kind: "text"}, text("/h/data/golden-repos-old/a"), "/m/golden-repos-old/a", false},
		"a file URL below the tree":         {column{table: "global_repos", name: "repo_url", kind: "text"}, text("file:///h/data/golden-repos/a"), "file:///m/golden-repos/a", true},
		"an ssh URL that looks alike stays": {column{table: "global_repos", name: "repo_url", kind: "text"}, text("ssh://g/h/data/golden-repos/a"), "ssh://g/h/data/golden-repos/a", true},
		"an https URL that was moved":       {column{table: "global_repos", name: "repo_url", kind: "text"}, text("https://g/h/data/golden-repos/a"), "https://g/m/golden-repos/a", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if why := x.same(test.column, test.was, pgValue{text: test.is}); (why == "") != test.same {
				t.Errorf("same is %v (%s), want %v", why == "", why, test.same)
			}
		})
	}
}

func TestNulls(t *testing.T) {
	x := &comparer{zone: time.UTC}
	null := liteValue{class: 'n'}
	tests := map[string]struct {
		column column
		was    liteValue
		is     pgValue
		same   bool
	}{
		"NULL stays NULL":              {column{table: "t", name: "c", kind: "text", nullable: true}, null, pgValue{null: true}, true},
		"NULL became empty":            {column{table: "t", name: "c", kind: "text", nullable: true}, null, pgValue{}, false},
		"empty became NULL":            {column{table: "t", name: "c", kind: "text", nullable: true}, text(""), pgValue{null: true}, false},
		"NULL got its default":         {column{table: "dependency_map_run_history", name: "edge_count", kind: "integer"}, null, pgValue{text: "0"}, true},
		"NULL got another value":       {column{table: "dependency_map_run_history", name: "edge_count", kind: "integer"}, null, pgValue{text: "1"}, false},
		"NULL time got some time":      {column{table: "dependency_map_run_history", name: "timestamp", kind: "timestamp with time zone"}, null, pgValue{text: "2026-11-22 01:02:03+00"}, true},
		"NULL elsewhere got a default": {column{table: "users", name: "email", kind: "text", nullable: true}, null, pgValue{text: "0"}, false},
	}
	for name, test := range tests {
		if why := x.same(test.column, test.was, test.is); (why == "") != test.same {
			t.Errorf("%s: same is %v (%s)", name, why == "", why)
		}
	}
}

func TestDSNs(t *testing.T) {
	want := map[string]string{"host": "db.example.org", "port": "5433", "user": "cidx", "password": "p@ w'", "dbname": "cidx", "sslmode": "require"}
	for _, dsn := range []string{
		"postgresql://cidx:p%40%20w%27@db.example.org:5433/cidx?sslmode=require",
		`host=db.example.org port=5433 user=cidx password='p@ w\'' dbname = cidx  sslmode=require`,
	} {
		got, err := parseDSN(dsn)
		if err != nil || len(got) != len(want) {
			t.Errorf("%d parameters, error %v", len(got), err)
		}
		for key := range want {
			if got[key] != want[key] {
				t.Errorf("%s: got %q, want %q", key, got[key], want[key])
			}
		}
	}
}
