package judge

import (
	"bytes"
	"strings"
	"testing"
)

func TestReferenceMigrationIsEqual(t *testing.T) {
	for _, layout := range []string{"real", "assumed"} {
		t.Run(layout, func(t *testing.T) {
			f := newFixture(t, layout)
			before := f.take()
			f.migrate()
			r := f.equal()
			wantNames(t, r)
			if r.Checked["rows"] < 1000 || r.Checked["files"] < 200 || r.Checked["aliases"] != 10 || r.Checked["sequences"] != 13 {
				t.Errorf("too little compared: %v", r.Checked)
			}
			changed := Same(before, f.take(), Changes{Cutover: true, Except: []string{"postgres/*", "share*"}})
			wantNames(t, changed)
		})
	}
}

// Each statement spoils one thing; the judge must name it, and nothing else.
var spoiltRows = map[string]string{
	"postgres/users/maria":                                                        "DELETE FROM users WHERE username = 'maria'",
	"postgres/users/intruder":                                                     "INSERT INTO users (username, password_hash, role, created_at) VALUES ('intruder', 'x', 'admin', now())",
	"postgres/users/admin/password_hash":                                          "UPDATE users SET password_hash = 'seeded' WHERE username = 'admin'",
	"postgres/users/jo.doe@example.org/created_at":                                "UPDATE users SET created_at = created_at + interval '1 microsecond' WHERE username = 'jo.doe@example.org'",
	"postgres/users/pia/email":                                                    "UPDATE users SET email = 'from-before-the-wal@example.org' WHERE username = 'pia'",
	"postgres/user_mfa/ops/created_at":                                            "UPDATE user_mfa SET created_at = created_at + interval '5 hours' WHERE user_id = 'ops'",
	"postgres/user_mfa/maria/mfa_enabled":                                         "UPDATE user_mfa SET mfa_enabled = false WHERE user_id = 'maria'",
	"postgres/ssh_keys/deploy-key/created_at":                                     "UPDATE ssh_keys SET created_at = (created_at AT TIME ZONE 'America/New_York') AT TIME ZONE 'UTC' WHERE name = 'deploy-key'",
	"postgres/diagnostic_results/category-3/results_json":                         "UPDATE diagnostic_results SET results_json = jsonb_set(results_json, '{exact}', '9007199254740992') WHERE category = 'category-3'",
	"postgres/global_repos/web-portal-global/repo_url":                            "UPDATE global_repos SET repo_url = NULL WHERE alias_name = 'web-portal-global'",
	"postgres/global_repos/billing-global/index_path":                             "UPDATE global_repos SET index_path = '/mnt/elsewhere/billing' WHERE alias_name = 'billing-global'",
	"postgres/search_event_log/5/timestamp":                                       "UPDATE search_event_log SET timestamp = timestamp + 0.000001 WHERE id = 5",
	"postgres/search_event_log/6/query_text":                                      "UPDATE search_event_log SET query_text = query_text || ' ' WHERE id = 6",
	"postgres/audit_logs/7/details":                                               "UPDATE audit_logs SET details = '' WHERE id = 7",
	"postgres/golden_repos_metadata/billing/clone_path":                           "UPDATE golden_repos_metadata SET clone_path = replace(clone_path, '/share/golden-repos', '/home/data/golden-repos') WHERE alias = 'billing'",
	"postgres/groups/10/name":                                                     "UPDATE groups SET name = 'Finance' WHERE id = 10",
	"postgres/wiki_cache/web-portal+docs/Übersicht/page 000001.md/metadata":       "UPDATE wiki_cache SET metadata = 'null' WHERE article_path = 'docs/Übersicht/page 000001.md'",
	"postgres/oauth_clients/client-000003/redirect_uris":                          `UPDATE oauth_clients SET redirect_uris = '["https://app.example.org/cb","http:\/\/localhost:1\/"]' WHERE client_id = 'client-000003'`,
	"postgres/dependency_map_run_history/1/pass1_duration_s":                      "UPDATE dependency_map_run_history SET pass1_duration_s = pass1_duration_s + 0.1 WHERE run_id = 1",
	"postgres/dependency_map_run_history/4/domain_count":                          "UPDATE dependency_map_run_history SET domain_count = 1 WHERE run_id = 4",
	"postgres/research_sessions/5e551011-0000-4000-8000-000000000001/folder_path": "UPDATE research_sessions SET folder_path = '/mnt/research' WHERE id = '5e551011-0000-4000-8000-000000000001'",
	"postgres/research_messages/id":                                               "SELECT setval('research_messages_id_seq', 2)",
	"postgres/activated_repos/maria+all-backend":                                  "DELETE FROM activated_repos WHERE username = 'maria'",
	"postgres/activated_repos/pia+mine/last_accessed":                             "UPDATE activated_repos SET last_accessed = NULL WHERE username = 'pia'",
	"postgres/activated_repos/jo.doe@example.org+billing-work/ssh_key_used":       "UPDATE activated_repos SET ssh_key_used = 'False' WHERE user_alias = 'billing-work'",
	"postgres/activated_repos/jo.doe@example.org+portal/metadata_json":            "UPDATE activated_repos SET metadata_json = NULL WHERE user_alias = 'portal'",
	"postgres/cluster_secrets/mfa_encryption_key":                                 "UPDATE cluster_secrets SET key_value = 'random' WHERE key_name = 'mfa_encryption_key'",
	"postgres/golden_repo_reconcile_breaker_state":                                "INSERT INTO golden_repo_reconcile_breaker_state (id, consecutive_count) VALUES (1, 2)",
	"postgres/cluster_nodes":                                                      "INSERT INTO cluster_nodes (node_id, hostname) VALUES ('n', 'h')",
	"postgres/novelty":                                                            "CREATE TABLE novelty (id int)",
	"postgres/ci_tokens/extra":                                                    "ALTER TABLE ci_tokens ADD extra int",
}

func TestSpoiltRowsAreFound(t *testing.T) {
	f := newFixture(t, "real", "-repos", "3")
	f.load()
	f.comparison.Only = []string{PartTables}
	var names []string
	for name, statement := range spoiltRows {
		names = append(names, name)
		f.sql(statement)
	}
	// pending jobs carried over as they were
	f.sql("UPDATE background_jobs SET status = 'pending', completed_at = NULL, error = NULL WHERE job_id = (SELECT min(job_id) FROM background_jobs WHERE error LIKE 'interrupted%')")
	r := f.equal()
	jobs := 0
	for _, d := range r.Differences {
		if strings.HasPrefix(d.Name, "postgres/background_jobs/") {
			names = append(names, d.Name)
			jobs++
		}
		if strings.Contains(d.What, "seeded") || strings.Contains(d.What, "random") {
			t.Errorf("a secret is shown: %s", d.What)
		}
	}
	if jobs != 3 {
		t.Errorf("%d differences of the pending job, want status, completed_at and error", jobs)
	}
	wantNames(t, r, names...)
	var out bytes.Buffer
	r.Print(&out)
	if !strings.Contains(out.String(), "DIFFERENT rows       postgres/users/maria: row is missing") {
		t.Errorf("the printed report does not name the lost row:\n%s", out.String())
	}
}

func TestRunningPermitsOnlyWhatAServerDoes(t *testing.T) {
	f := newFixture(t, "real", "-repos", "3")
	f.load()
	f.comparison.Only, f.comparison.Running = []string{PartTables}, true
	f.sql("INSERT INTO cluster_nodes (node_id, hostname) VALUES ('n', 'h')", "UPDATE user_mfa SET last_used_otp_counter = 5 WHERE user_id = 'ops'",
		"INSERT INTO audit_logs (admin_id, action_type, target_type, target_id) VALUES ('admin', 'login', 'user', 'admin')",
		"INSERT INTO cluster_secrets (key_name, key_value) VALUES ('ssh_key_encryption_key', 'k')")
	wantNames(t, f.equal())
	f.sql("UPDATE users SET role = 'admin' WHERE username = 'pia'", "DELETE FROM audit_logs WHERE id = 3",
		"INSERT INTO golden_repo_reconcile_breaker_state (id, consecutive_count) VALUES (1, 2)")
	f.sql("UPDATE golden_repos_metadata SET clone_path = replace(clone_path, '" + f.share + "/golden-repos', '" + f.golden + "') WHERE alias = 'billing'")
	f.comparison.Spelling = SpellEither
	wantNames(t, f.equal(), "postgres/users/pia/role", "postgres/audit_logs/3", "postgres/golden_repo_reconcile_breaker_state")
}

func TestReportCountsWhatItDoesNotKeep(t *testing.T) {
	r := NewReport(nil)
	for range keptPerCategory + 5 {
		r.differ("rows", "postgres/users/x", "is missing")
	}
	var out bytes.Buffer
	r.Print(&out)
	if lines := strings.Count(out.String(), "\n"); lines != shownPerCategory+1 || !strings.Contains(out.String(), "2005 different") {
		t.Errorf("%d lines, ending with %q", lines, out.String()[out.Len()-60:])
	}
	if r.Equal() {
		t.Error("equal")
	}
}
