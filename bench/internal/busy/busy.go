// Package busy makes the rows of a busy CIDX server, for measurements.
package busy

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	_ "modernc.org/sqlite"
)

// Mix is what a busy server's database is made of: share of the rows per
// table, and how a row looks. Parents stand before children. Each search is an
// event and at least one embedding call, each index job makes hundreds of
// calls, and jobs are cleaned up: so calls are the most, jobs the fewest.
var Mix = []struct {
	Table   string
	percent int
	Columns string
	row     func(r *rand.Rand, i int) []any
}{
	{"research_sessions", 1, "id,name,folder_path,created_at,updated_at,claude_session_id", session},
	{"research_messages", 9, "session_id,role,content,created_at", message},
	{"background_jobs", 10, "job_id,operation_type,status,created_at,started_at,completed_at,result,error,progress,username,is_admin,cancelled,repo_alias,resolution_attempts,claude_actions,extended_error,metadata,executing_node", job},
	{"search_event_log", 30, "timestamp,username,repo_alias,search_type,query_text,voyage_cache_hit,voyage_latency_ms,cohere_cache_hit,total_latency_ms,result_count,node_id,correlation_id", event},
	{"embedding_call_stats", 50, "provider,call_type,model,item_count,token_count,batch_size,purpose,golden_repo_alias,job_id,success,latency_ms,occurred_at", call},
}

var start = time.Date(2025, 3, 1, 8, 0, 0, 0, time.UTC)

// Fill empties the mix's tables of the SQLite file and inserts about rows rows.
// It returns how many. The server may run.
func Fill(ctx context.Context, path string, rows int) (int, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=foreign_keys(0)&_pragma=busy_timeout(10000)&_pragma=synchronous(off)")
	if err != nil {
		return 0, err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	for i := len(Mix) - 1; i >= 0; i-- {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+Mix[i].Table); err != nil {
			return 0, err
		}
	}
	total := 0
	r := rand.New(rand.NewPCG(1, 2))
	sessions = max(1, rows*Mix[0].percent/100)
	for _, m := range Mix {
		marks := strings.TrimSuffix(strings.Repeat("?,", strings.Count(m.Columns, ",")+1), ",")
		insert, err := tx.PrepareContext(ctx, fmt.Sprintf("INSERT INTO %s(%s) VALUES(%s)", m.Table, m.Columns, marks))
		if err != nil {
			return 0, err
		}
		for i := range rows * m.percent / 100 {
			if _, err := insert.ExecContext(ctx, m.row(r, i)...); err != nil {
				return 0, fmt.Errorf("%s row %d: %w", m.Table, i, err)
			}
			total++
		}
	}
	return total, tx.Commit()
}

var sessions int

func session(r *rand.Rand, i int) []any {
	at := stamp(i * 700)
	return []any{uuid(1, i), "Untersuchung Nr. " + fmt.Sprint(i), "/home/cidx/.cidx-server/research/" + uuid(1, i), at, at, nil}
}

func message(r *rand.Rand, i int) []any {
	role := "user"
	if i%2 == 1 {
		role = "assistant"
	}
	return []any{uuid(1, r.IntN(sessions)), role, prose(r, 40+r.IntN(260)), stamp(i * 71)}
}

func job(r *rand.Rand, i int) []any {
	status, failure := "completed", any(nil)
	if r.IntN(12) == 0 {
		status, failure = "failed", "git fetch: exit status 128: "+prose(r, 60)
	}
	result := fmt.Sprintf(`{"success": %t, "alias": "repo-%d", "files": %d, "ratio": %d.%d, "notes": "%s", "changed": [%d, %d, null]}`,
		failure == nil, r.IntN(400), r.IntN(90000), r.IntN(3), r.IntN(100000), prose(r, 30), i, r.IntN(99))
	return []any{uuid(2, i), pick(r, "refresh_golden_repo", "add_golden_repo", "index_provider", "activate_repository"), status,
		stamp(i * 37), stamp(i*37 + 2), stamp(i*37 + 2 + r.IntN(900)), result, failure, 100, user_(r), r.IntN(2), 0,
		fmt.Sprintf("repo-%d", r.IntN(400)), 0, nil, nil, `{"branch": "main", "depth": 3}`, "local"}
}

func event(r *rand.Rand, i int) []any {
	return []any{epoch(r, i*43), user_(r), fmt.Sprintf("repo-%d-global", r.IntN(400)), pick(r, "semantic", "fts", "hybrid"), prose(r, 12+r.IntN(50)),
		r.IntN(2), 20 + r.IntN(400), nil, 30 + r.IntN(900), r.IntN(20), "local", uuid(3, i)}
}

func call(r *rand.Rand, i int) []any {
	return []any{pick(r, "voyage", "cohere"), "embed", "voyage-code-3", 1 + r.IntN(128), r.IntN(120000), 128, pick(r, "index", "query"),
		fmt.Sprintf("repo-%d", r.IntN(400)), uuid(2, r.IntN(1000000)), 1, 30 + r.IntN(2000), epoch(r, i*91)}
}

func stamp(seconds int) string {
	return start.Add(time.Duration(seconds)*time.Second + time.Duration(seconds*7919%1000000)*time.Microsecond).Format("2006-01-02T15:04:05.000000+00:00")
}

func epoch(r *rand.Rand, seconds int) float64 {
	return float64(start.Unix()+int64(seconds)) + float64(r.IntN(1000000))/1e6
}

func uuid(kind, i int) string {
	h := uint64(i)*0x9E3779B97F4A7C15 ^ uint64(kind)<<60
	return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", uint32(h>>32), uint16(h>>16), uint16(h)&0xfff, i&0xfff, uint64(i)<<4|uint64(kind))
}

func user_(r *rand.Rand) string { return fmt.Sprintf("user%d@example.org", r.IntN(250)) }

func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

var words = strings.Fields("invoice parser größe handler retry token cache naïve index vector socket 検索 queue branch commit tree walk latency résumé config deploy cluster node")

func prose(r *rand.Rand, length int) string {
	var b strings.Builder
	for b.Len() < length {
		b.WriteString(words[r.IntN(len(words))])
		b.WriteByte(' ')
	}
	return b.String()
}
