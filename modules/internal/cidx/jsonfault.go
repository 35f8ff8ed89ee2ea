package cidx

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// JSONFault says where a document stops being JSON: line and column, both
// counted from 1, of the byte that is wrong or missing, and the cause.
func JSONFault(raw []byte) string {
	var doc json.RawMessage
	err := json.Unmarshal(raw, &doc)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return "malformed document"
	}
	before := raw
	if int(syntax.Offset) < len(raw) || !strings.HasSuffix(syntax.Error(), "end of JSON input") {
		before = raw[:max(syntax.Offset-1, 0)] // Offset counts the byte that is wrong
	}
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("line %d, column %d: %v", line, column, syntax)
}
