package cidxapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/tidwall/gjson"
)

// Tool calls an MCP tool and decodes the inner JSON, which CIDX sends as a
// string in the first text part, into out. CIDX needs no handshake. A refusal
// of the protocol (JSON-RPC error) or of the tool ("success": false, which
// comes with HTTP 200) is a *ToolError.
func (c *Client) Tool(ctx context.Context, name string, arguments map[string]any, out any) error {
	request := map[string]any{
		"jsonrpc": "2.0", "id": 1, "method": "tools/call",
		"params": map[string]any{"name": name, "arguments": arguments},
	}
	var answer struct {
		Result *struct {
			Content []struct {
				Type string `json:"type"`
				Text string `json:"text"`
			} `json:"content"`
			IsError bool `json:"isError"`
		} `json:"result"`
		Error *struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := c.call(ctx, http.MethodPost, "/mcp", request, &answer); err != nil {
		return fmt.Errorf("call tool %s: %w", name, err)
	}
	refusal := &ToolError{URL: c.Base() + "/mcp", Tool: name}
	if answer.Error != nil {
		refusal.Code, refusal.Message = answer.Error.Code, clip(answer.Error.Message)
		return refusal
	}
	if answer.Result == nil || len(answer.Result.Content) == 0 {
		refusal.Message = "the answer has no content"
		return refusal
	}
	inner := answer.Result.Content[0].Text
	doc := gjson.Parse(inner)
	switch {
	case answer.Result.IsError && !doc.IsObject():
		refusal.Message = clip(inner)
		return refusal
	case !gjson.Valid(inner) || !doc.IsObject():
		refusal.Message = "the answer's text is not a JSON object: " + clip(inner)
		return refusal
	case !doc.Get("success").Bool():
		refusal.Message = refusalOf(doc)
		return refusal
	}
	if err := json.Unmarshal([]byte(inner), out); err != nil {
		return fmt.Errorf("decode answer of tool %s: %w", name, err)
	}
	return nil
}

// refusalOf finds the words of a tool that did not succeed.
func refusalOf(doc gjson.Result) string {
	for _, key := range []string{"error", "message", "detail"} {
		if v := doc.Get(key); v.Exists() && v.String() != "" {
			return clip(v.String())
		}
	}
	return "refused without a reason"
}
