package standin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// JSON-RPC error codes that CIDX uses.
const (
	codeMethod   = -32601
	codeParams   = -32602
	codeInternal = -32603
)

type rpcRequest struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	} `json:"params"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *rpcError) Error() string { return e.Message }

// mcp is POST /mcp: JSON-RPC without a handshake. A tool's own failure is HTTP 200 with an inner {"success": false}.
func (s *Server) mcp(r *http.Request, u user) (any, error) {
	var in rpcRequest
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20)).Decode(&in); err != nil {
		return rpcReply(nil, nil, &rpcError{-32700, "Parse error"}), nil
	}
	result, err := s.call(r.Context(), u, in)
	return rpcReply(in.ID, result, err), nil
}

func rpcReply(id json.RawMessage, result any, err error) any {
	out := map[string]any{"jsonrpc": "2.0", "id": id}
	if id == nil {
		out["id"] = nil
	}
	var protocol *rpcError
	switch {
	case errors.As(err, &protocol):
		out["error"] = protocol
	case err != nil:
		out["error"] = &rpcError{codeInternal, "Internal error"}
	default:
		out["result"] = result
	}
	return out
}

func (s *Server) call(ctx context.Context, u user, in rpcRequest) (any, error) {
	tools := map[string]func(context.Context, user, json.RawMessage) (any, error){
		"list_repositories": s.toolList, "search_code": s.toolSearch, "check_health": s.toolHealth,
	}
	switch in.Method {
	case "initialize":
		return map[string]any{"protocolVersion": "2025-06-18", "capabilities": map[string]any{"tools": map[string]any{}},
			"serverInfo": map[string]any{"name": "CIDX", "version": Version}}, nil
	case "tools/list":
		names := []any{}
		for _, n := range []string{"check_health", "list_repositories", "search_code"} {
			names = append(names, map[string]any{"name": n, "inputSchema": map[string]any{"type": "object"}})
		}
		return map[string]any{"tools": names}, nil
	case "tools/call":
	default:
		return nil, &rpcError{codeMethod, "Method not found: " + in.Method}
	}
	tool := tools[in.Params.Name]
	if tool == nil {
		return nil, &rpcError{codeParams, "Unknown tool: " + in.Params.Name}
	}
	inner, err := tool(ctx, u, in.Params.Arguments)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(inner)
	if err != nil {
		return nil, err
	}
	return map[string]any{"content": []any{map[string]any{"type": "text", "text": string(text)}}}, nil
}

// toolList lists the caller's activations, which have fewer members, and then the global repositories that it may read; it
// never looks at files. If
// the global part cannot be read, the list is short and success stays true.
func (s *Server) toolList(ctx context.Context, u user, _ json.RawMessage) (any, error) {
	list := []any{}
	own, err := s.activations(ctx, u.name)
	if err != nil {
		return map[string]any{"success": false, "error": err.Error(), "repositories": []any{}}, nil
	}
	for _, a := range own {
		list = append(list, map[string]any{
			"user_alias": a.alias, "golden_repo_alias": orNil(a.golden), "current_branch": a.branch, "repo_category": nil,
		})
	}
	global, err := s.globalList(ctx, u)
	if err != nil {
		s.log.Printf("list_repositories: global part left out: %v", err)
	}
	return map[string]any{"success": true, "repositories": append(list, global...)}, nil
}

func (s *Server) globalList(ctx context.Context, u user) ([]any, error) {
	may, err := s.mayRead(ctx, u)
	if err != nil {
		return nil, err
	}
	rows, err := s.store.Rows(ctx, "global_repos", "SELECT * FROM global_repos ORDER BY alias_name")
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, r := range rows[:max(0, len(rows)-s.faults.LoseRepos)] {
		if !may(r.Text("repo_name")) {
			continue
		}
		out = append(out, map[string]any{
			"user_alias": r.Text("alias_name"), "golden_repo_alias": r.Text("repo_name"), "current_branch": nil,
			"is_global": true, "repo_url": r.Value("repo_url"), "last_refresh": r.Value("last_refresh"), "repo_category": nil,
		})
	}
	return out, nil
}

// toolHealth names the node in cluster mode; node_id is null in standalone mode.
func (s *Server) toolHealth(_ context.Context, _ user, _ json.RawMessage) (any, error) {
	status, reasons := s.checkHealth()
	var node any
	if s.cfg.cluster {
		node = s.node()
	}
	return map[string]any{"success": true, "server_version": Version, "node_id": node,
		"health": map[string]any{"status": status, "failure_reasons": reasons, "checked_by": fmt.Sprint("cidx ", Version)}}, nil
}
