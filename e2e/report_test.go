package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/tidwall/gjson"
)

var reportSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	return compiler.Compile(filepath.Join(repo, "docs/report.schema.json"))
})

// validReports holds the last reports on the controller against docs/report.schema.json;
// the kind of each problem and warning must be known.
func (st *stage) validReports() error {
	paths, err := filepath.Glob(filepath.Join(st.box.Dir, "reports/*/latest/report.json"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		schema, err := reportSchema()
		if err != nil {
			return err
		}
		if err := schema.Validate(document); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if unknown := gjson.GetBytes(raw, `[warnings.#(code=="other")#,problems.#(code=="other")#]|@flatten`); len(unknown.Array()) > 0 {
			return fmt.Errorf("%s: without a code: %s", path, unknown)
		}
	}
	return nil
}

// lastReport is the last report of a node on the controller.
func (st *stage) lastReport(node string) (gjson.Result, error) {
	raw, err := os.ReadFile(filepath.Join(st.box.Dir, "reports", node, "latest/report.json"))
	return gjson.ParseBytes(raw), err
}

// report looks at the last report of a node (default node1) on the controller:
//
//	report [-of NODE] OUTCOME SUBJECT [PATH VALUE]…
//
// PATH is gjson's; VALUE is what stands there.
func (st *stage) report(c *call) error {
	node := "node1"
	if len(c.args) > 1 && c.args[0] == "-of" {
		node, c.args = c.args[1], c.args[2:]
	}
	if len(c.args) < 2 || len(c.args)%2 != 0 {
		return errors.New("report [-of NODE] OUTCOME SUBJECT [PATH VALUE]…")
	}
	report, err := st.lastReport(node)
	if err != nil {
		return err
	}
	want := append([]string{"outcome", c.args[0], "subject", c.args[1]}, c.args[2:]...)
	for i := 0; i < len(want); i += 2 {
		if got := report.Get(want[i]).String(); got != want[i+1] {
			return fmt.Errorf("%s is %q, want %q: %w", want[i], got, want[i+1], errVerdict)
		}
	}
	return nil
}
