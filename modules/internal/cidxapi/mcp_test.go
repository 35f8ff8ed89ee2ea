package cidxapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func contextWithin(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}

func TestTools(t *testing.T) {
	f := newFake(t)
	f.tool(map[string]string{
		"check_health":      `{"success":true,"server_version":"11.79.0","node_id":"node-1","health":{"status":"healthy"}}`,
		"list_repositories": `{"success":true,"repositories":[{"user_alias":"billing-global","golden_repo_alias":"billing","current_branch":null,"is_global":true,"repo_url":"https://git.example.org/billing.git","last_refresh":"2026-02-03T04:05:06+00:00","repo_category":null}]}`,
		"search_code":       `{"success":true,"results":{"results":[{"file_path":"src/a.py","line_number":3,"source_repo":"billing-global"}],"total_results":1,"query_metadata":{}}}`,
	}, "")
	client, ctx := f.client(t, Options{Key: fakeKey})

	node, err := client.CheckHealth(ctx)
	if diff := cmp.Diff(NodeHealth{Version: "11.79.0", NodeID: "node-1", Status: "healthy"}, node); err != nil || diff != "" {
		t.Error(err, diff)
	}
	repos, err := client.Repositories(ctx)
	if diff := cmp.Diff([]Repository{{Alias: "billing-global", Golden: "billing", Global: true}}, repos); err != nil || diff != "" {
		t.Error(err, diff)
	}
	found, err := client.Search(ctx, Query{Text: "invoice", Alias: "billing-global", Mode: FullText})
	if diff := cmp.Diff(Found{Total: 1, Hits: []Hit{{Path: "src/a.py", Alias: "billing-global"}}}, found); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestToolRefusals(t *testing.T) {
	cases := map[string]struct {
		inner, rpc string
		code       int
		want       string
	}{
		"the tool says no":                  {inner: `{"success":false,"error":"Global repository 'x-global' not found","results":[]}`, want: "search_code: Global repository 'x-global' not found"},
		"no access":                         {rpc: `{"code":-32602,"message":"Invalid params: permission denied"}`, code: -32602, want: "permission denied"},
		"unknown method":                    {rpc: `{"code":-32601,"message":"Method not found"}`, code: -32601, want: "needs 11.65"},
		"inner text that is not JSON":       {inner: `Traceback (most recent call last)`, want: "not a JSON object: Traceback"},
		"an answer that says nothing of it": {inner: `{"results":[]}`, want: "refused without a reason"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.tool(map[string]string{"search_code": c.inner}, c.rpc)
			client, ctx := f.client(t, Options{Key: fakeKey})
			_, err := client.Search(ctx, Query{Text: "x", Alias: "x-global", Mode: FullText})
			var refused *ToolError
			if !errors.As(err, &refused) || refused.Code != c.code || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want code %d and %q", err, c.code, c.want)
			}
		})
	}
}

func TestASearchWithoutEmbeddingProviderIsNotAnEmptyRepository(t *testing.T) {
	f := newFake(t)
	f.tool(map[string]string{"search_code": `{"success":true,"results":{"results":[],"total_results":0,"query_metadata":{"completeness":"providers_unavailable","provider_errors":{}}}}`}, "")
	client, ctx := f.client(t, Options{Key: fakeKey})
	found, err := client.Search(ctx, Query{Text: "x", Alias: "cidx-meta-global", Mode: Semantic})
	if err != nil || !found.Unavailable {
		t.Errorf("got %+v, %v", found, err)
	}
}

func TestQueryREST(t *testing.T) {
	f := newFake(t)
	answers := []string{
		`{"search_mode":"fts","query":"invoice","fts_results":[{"path":"src/a.py","line_start":1,"line_end":2,"snippet":"…","language":"python","repository_alias":"billing-global"}],"semantic_results":[],"metadata":{"fts_available":true}}`,
		`{"results":[{"file_path":"b.md","line_number":1,"code_snippet":"…","similarity_score":0.9,"repository_alias":"meta-global"}],"total_results":1,"query_metadata":{}}`,
		`{"search_mode":"fts","query":"nothing","fts_results":[],"semantic_results":[],"metadata":{}}`,
	}
	f.guarded("POST /api/query", func(w http.ResponseWriter, _ *http.Request) {
		write(w, 200, answers[0])
		answers = answers[1:]
	})
	client, ctx := f.client(t, Options{Key: fakeKey})
	for _, want := range []Found{
		{Total: 1, Hits: []Hit{{Path: "src/a.py", Alias: "billing-global"}}},
		{Total: 1, Hits: []Hit{{Path: "b.md", Alias: "meta-global"}}},
		{},
	} {
		got, err := client.QueryREST(ctx, Query{Text: "invoice", Alias: "billing-global", Mode: FullText})
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Error(err, diff)
		}
	}
}
