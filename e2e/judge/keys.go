package judge

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// judgeSecrets wants the MFA key of the standalone server in cluster_secrets,
// and no JWT secret but its own. Values are never shown.
func (d *database) judgeSecrets(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(d.source, ".encryption_key_salt")); err != nil {
		d.report.differ("secrets", "home/.encryption_key_salt", "file is missing: no token can be decrypted")
	}
	d.report.checked("secrets", 1)
	want := map[string]string{}
	for key, file := range map[string]string{"mfa_encryption_key": "data/mfa_key.dat", "jwt_secret": ".jwt_secret"} {
		text, err := os.ReadFile(filepath.Join(d.source, file))
		if err != nil {
			d.report.note("%s: not in the source", file)
			continue
		}
		want[key] = strings.TrimSpace(string(text))
	}
	if d.columns["cluster_secrets"] == nil {
		d.report.differ("secrets", "postgres/cluster_secrets", "table is missing")
		return nil
	}
	rows, err := d.db.query(ctx, "SELECT key_name, key_value FROM cluster_secrets")
	if err != nil {
		return fmt.Errorf("read cluster_secrets: %w", err)
	}
	found := map[string]bool{}
	for _, r := range rows {
		d.report.checked("secrets", 1)
		found[r[0]] = true
		expected, known := want[r[0]]
		switch {
		case known && r[1] != expected:
			d.report.differ("secrets", "postgres/cluster_secrets/"+r[0], "is not the standalone server's value")
		case !known && !d.running:
			d.report.differ("secrets", "postgres/cluster_secrets/"+r[0], "row has no source")
		}
	}
	if want["mfa_encryption_key"] != "" && !found["mfa_encryption_key"] {
		d.report.differ("secrets", "postgres/cluster_secrets/mfa_encryption_key", "row is missing: no MFA user can log in")
	}
	return nil
}

// judgeSkipped wants tables that do not migrate to be empty, but for what a
// running cluster keeps in them. An old count of the reconciler's breaker
// brings deletion nearer and is never right.
func (d *database) judgeSkipped(ctx context.Context) error {
	var counts []string
	for _, name := range sortedNames(d.schema) {
		t := d.schema[name]
		if t.copied() || t.Postgres == nil || d.columns[name] == nil || filled[name] {
			continue
		}
		condition := ""
		if name == "golden_repo_reconcile_breaker_state" {
			condition = " WHERE consecutive_count > 0"
		} else if d.running && bookkeeping[name] {
			continue
		}
		counts = append(counts, fmt.Sprintf("SELECT '%s', count(*) FROM %s%s", name, ident(name), condition))
	}
	if len(counts) == 0 {
		return nil
	}
	rows, err := d.db.query(ctx, strings.Join(counts, " UNION ALL "))
	if err != nil {
		return fmt.Errorf("count rows that must not migrate: %w", err)
	}
	d.report.checked("skipped", len(rows))
	for _, r := range rows {
		if r[1] != "0" {
			d.report.differ("skipped", "postgres/"+r[0], "has %s rows, must not be migrated", r[1])
		}
	}
	return nil
}
