package standin

import (
	"net/http"
	"strings"
	"testing"
)

func TestBodiesOfRefusals(t *testing.T) {
	r := standalone(t).start()
	for name, c := range map[string]struct {
		path, token string
		in          map[string]any
		status      int
		detail      string // its beginning
		challenge   string // beginning of WWW-Authenticate
	}{
		"no credentials":        {"/api/query", "", nil, 401, "Missing authentication credentials", "Bearer"},
		"unknown API key":       {"/api/query", "cidx_sk_unknown", nil, 401, "Invalid API key", "Bearer"},
		"unknown token":         {"/api/query", "unknown", nil, 401, "Invalid token", "Bearer"},
		"forged JWT":            {"/api/query", "a.b.c", nil, 401, "Invalid token", "Bearer"},
		"MCP":                   {"/mcp", "", nil, 401, "Authentication required", `Bearer realm="mcp", resource_metadata="http://`},
		"wrong password":        {"/auth/login", "", map[string]any{"username": "wiki", "password": "x"}, 401, "Invalid credentials", "Bearer"},
		"wrong second factor":   {"/auth/mfa/verify", "", map[string]any{"mfa_token": "x", "totp_code": "1"}, 401, "Invalid or expired MFA token", ""},
		"a member is missing":   {"/auth/login", "", map[string]any{"username": "wiki"}, 422, "[map[loc:[body password]", ""},
		"no question in a body": {"/api/query", opsKey, map[string]any{"repository_alias": "billing-global"}, 422, "[map[loc:[body query_text]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			status, header, out := r.exchange("POST", c.path, c.token, c.in)
			if detail := textOf(out["detail"]); status != c.status || !strings.HasPrefix(detail, c.detail) {
				t.Errorf("%d %q", status, detail)
			}
			if got := header.Get("WWW-Authenticate"); !strings.HasPrefix(got, c.challenge) || (c.challenge == "") != (got == "") {
				t.Errorf("challenge: %q", got)
			}
			if status == http.StatusUnprocessableEntity {
				for _, member := range []string{"error", "message", "details", "correlation_id", "timestamp"} {
					if out[member] == nil {
						t.Errorf("no member %s: %v", member, out)
					}
				}
			}
		})
	}
}

func TestTheSixthAttemptIsLockedOut(t *testing.T) {
	r := standalone(t).start()
	for range lockFailures {
		if status, _ := r.call("POST", "/auth/login", "", map[string]any{"username": "dev", "password": "x"}); status != 401 {
			t.Fatalf("wrong password: %d", status)
		}
	}
	status, header, out := r.exchange("POST", "/auth/login", "", map[string]any{"username": "dev", "password": "pw-dev"})
	if status != 429 || header.Get("Retry-After") == "" || !strings.HasPrefix(textOf(out["detail"]), "account_locked: ") {
		t.Errorf("%d %v %v", status, header, out)
	}
}

func TestAWrongCodeUsesTheChallengeUp(t *testing.T) {
	r := standalone(t).start()
	_, out := r.call("POST", "/auth/login", "", map[string]any{"username": "admin", "password": "pw-admin"})
	for _, c := range []struct{ code, want string }{
		{"zzzz-zzzz", "Invalid MFA code"}, {"abcd-efgh", "Invalid or expired MFA token"},
	} {
		status, answer := r.call("POST", "/auth/mfa/verify", "", map[string]any{"mfa_token": out["mfa_token"], "recovery_code": c.code})
		if status != 401 || answer["detail"] != c.want {
			t.Errorf("%s: %d %v", c.code, status, answer)
		}
	}
}

func TestTheUserOfALoginHasATime(t *testing.T) {
	_, out := standalone(t).start().call("POST", "/auth/login", "", map[string]any{"username": "ops", "password": "pw-ops"})
	if u, _ := out["user"].(map[string]any); u["created_at"] != "2026-01-02T03:04:05.000001+00:00" {
		t.Errorf("%v", out["user"])
	}
}

func TestSearchByMCP(t *testing.T) {
	r := standalone(t).start()
	ask := func(alias any, more ...string) map[string]any {
		args := map[string]any{"repository_alias": alias, "search_mode": "semantic", "query_text": "billingword"}
		if len(more) > 0 {
			args["query_text"] = more[0]
		}
		return r.tool(opsKey, "search_code", args)
	}
	one := ask("billing-global")["results"].(map[string]any)
	if hit := one["results"].([]any)[0].(map[string]any); hit["similarity_score"] != 0.92 || hit["source_repo"] != "billing-global" {
		t.Errorf("a hit: %v", hit)
	}
	if out := ask("billing-global", "billingword and seven words more that lead to nothing"); out["results"].(map[string]any)["total_results"] != 0.0 {
		t.Errorf("one word of nine is below the least score: %v", out)
	}
	if out := ask("billing"); out["success"] != true || out["results"].(map[string]any)["total_results"] != 0.0 {
		t.Errorf("alias without -global: %v", out)
	}
	if out := ask("billing-global", ""); out["success"] != false {
		t.Errorf("no question: %v", out)
	}
	if out := ask("nobody-global"); out["success"] != false || len(out["suggestions"].([]any)) == 0 {
		t.Errorf("unknown alias: %v", out)
	}
	several := ask([]any{"billing-global", "portal-global"})["results"].(map[string]any)
	if by, _ := several["results_by_repo"].(map[string]any); len(by) != 2 {
		t.Errorf("two aliases: %v", several)
	}
}

func TestActivatedEntriesComeFirstAndAreShorter(t *testing.T) {
	list := standalone(t).start().tool(devKey, "list_repositories", nil)["repositories"].([]any)
	first := list[0].(map[string]any)
	if first["user_alias"] != "mine" {
		t.Fatalf("first: %v", first)
	}
	for _, member := range []string{"is_global", "repo_url", "last_refresh"} {
		if _, has := first[member]; has {
			t.Errorf("it has %s", member)
		}
		if _, has := list[1].(map[string]any)[member]; !has {
			t.Errorf("the global one lacks %s", member)
		}
	}
}

func TestABusyNodeIsUnhealthyThoughAllWorks(t *testing.T) {
	r := standalone(t).start(func(o *Options) { o.Faults.BusyCPU = 97 })
	if got := r.healthz(); got != "503 unhealthy" {
		t.Errorf("healthz: %s", got)
	}
	if _, out := r.call("GET", "/api/system/health", opsKey, nil); textOf(out["failure_reasons"]) != "[CPU: 97% sustained >60s]" {
		t.Errorf("reasons: %v", out["failure_reasons"])
	}
	if n := r.found(opsKey, "billing", "billingword"); n != 1 {
		t.Errorf("search: %d", n)
	}
}
