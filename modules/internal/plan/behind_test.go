package plan

import (
	"fmt"
	"strings"
	"testing"
)

func TestTablesThatAreNotThereAreToldWithoutALineThatWraps(t *testing.T) {
	few := skipping([]string{"token_families", "refresh_tokens"}, "refresh_tokens.db does not exist")
	if len(few) != 1 || few[0] != "  Skipping token_families, refresh_tokens... refresh_tokens.db does not exist" {
		t.Errorf("few: %q", few)
	}
	var names []string
	for i := range 24 {
		names = append(names, fmt.Sprintf("table_%d", i))
	}
	many := skipping(names, "not in data/cidx_server.db, as in an older release")
	if many[0] != "  Skipping 24 tables... not in data/cidx_server.db, as in an older release" || !strings.HasSuffix(many[len(many)-1], " table_23") {
		t.Errorf("many: %q", many)
	}
	for _, line := range many {
		if len(line) > 80 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	if got := strings.Fields(strings.Join(many[1:], " ")); len(got) != 24 {
		t.Errorf("%d names", len(got))
	}
}
