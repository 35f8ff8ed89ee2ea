package cidx

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// jsonFault says where a document stops being JSON: line, column and cause.
func jsonFault(raw []byte) string {
	var any json.RawMessage
	err := json.Unmarshal(raw, &any)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		if err == nil {
			return "malformed document"
		}
		return err.Error()
	}
	before := raw[:min(int(syntax.Offset), len(raw))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n') - 1
	return fmt.Sprintf("line %d, column %d: %v", line, column, syntax)
}
