package seed

import (
	"fmt"
	"strings"
)

// jsonForms are documents as different writers leave them: odd spacing, deep
// nesting, numbers beyond float64, every escape, scalars at the top.
var jsonForms = []string{
	`{"status":"ok","n":%d}`,
	`{ "b" : [ 1 , 2.50 , -0.0 , 1E+3 ] , "a" : { } , "row" : %d }`,
	"{\n  \"pretty\": true,\n  \"nested\": {\n    \"deep\": [[[[[{\"x\": null}]]]]]\n  },\n  \"row\": %d\n}",
	`{"big": 123456789012345678901234567890, "exact": 9007199254740993, "small": 1e-7, "tail": 1.500, "tenth": 0.1, "row": %d}`,
	`{"esc": "\u00e9\ud83d\ude00 \/ \b\f\n\r\t \" \\ \u007f", "raw": "é😀 / 漢字", "row": %d}`,
	`[%d, "two", null, false, {"k": []}]`,
	`{"": "empty key", "ä b": "space key", "A": 1, "a": 2, "aa": 3, "row": %d}`,
	`{"files": ["src/a.py", "src/ü.py"], "errors": [], "duration": 12.000001, "row": %d}`,
}

// document makes JSON text; every 13th is the JSON null, which is not NULL.
func document(_ *maker, i int) any {
	if i%13 == 12 {
		return "null"
	}
	return fmt.Sprintf(jsonForms[i%len(jsonForms)], i)
}

// longDocument nests 40 levels and repeats a list, as a sidebar tree does.
func longDocument(m *maker, i int) any {
	item := fmt.Sprintf(`{"title": "Seite %d \u2013 %s", "children": []}`, i, m.repos[i%len(m.repos)].alias)
	return strings.Repeat(`{"children": [`, 20) + strings.Repeat(item+", ", 10) + item + strings.Repeat(`]}`, 20)
}

// runtimeConfig is the row "runtime" of server_config: what the server took out of config.json.
func runtimeConfig(m *maker, _ int) any {
	return fmt.Sprintf(`{"host": %q, "port": %d, "workers": 1, "log_level": "INFO",
  "jwt_expiration_minutes": 10,   "cache_config": {"index_cache_ttl_minutes": 10.0, "max_mb": 4096, "ratio": 0.750},
  "search_limits_config": {"max_result_size_mb": 1, "limit": 18446744073709551616},
  "service_display_name": "Suche \u2013 K\u00f6ln \ud83d\ude80", "allowed": ["*", "https:\/\/cidx.example.org"], "oidc_provider_config": null}`,
		m.Host, max(m.Port, 8000))
}
