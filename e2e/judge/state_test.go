package judge

import (
	"context"
	"path/filepath"
	"testing"
)

// TestSameFindsEveryChange spoils an untouched home in every way and asks for the names.
func TestSameFindsEveryChange(t *testing.T) {
	f := newFixture(t, "real")
	before := f.take()
	file := filepath.Join(t.TempDir(), "state")
	if err := before.Save(file); err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	wantNames(t, Same(loaded, f.take(), Changes{}))
	f.shell(`cd "$HOME_DIR"
		printf x | dd of=oauth.db bs=1 seek=100 conv=notrunc status=none; touch -d 2001-01-01 groups.db-wal
		chmod 0644 .jwt_secret; rm data/golden-repos/metadata.json; echo new > data/golden-repos/billing/new
		ln -sfn elsewhere data/golden-repos/billing/assets/link-dangling; ln data/mfa_key.dat data/mfa_key.two
		mkdir .cluster-migrate; echo hidden > .cluster-migrate/journal.jsonl; echo log > logs/more.log; echo 1 > server.pid; echo shm > groups.db-shm
		echo share > "$SHARE/file"`)
	f.sql("UPDATE schema_migrations SET checksum = 'x' WHERE id = 3", "CREATE INDEX extra ON users (email)", "SELECT setval('groups_id_seq', 99)",
		"INSERT INTO users (username, password_hash, role, created_at) VALUES ('u', 'p', 'admin', now())")
	names := []string{"home/oauth.db", "home/groups.db-wal", "home/.jwt_secret", "home/data/golden-repos/metadata.json", "home/data/golden-repos",
		"home/data/golden-repos/billing", "home/data/golden-repos/billing/new", "home/data/golden-repos/billing/assets",
		"home/data/golden-repos/billing/assets/link-dangling", "home/data/mfa_key.dat", "home/data/mfa_key.two", "home/data", "home", "home/.cluster-migrate",
		"home/logs", "share", "share/file", "postgres/schema", "postgres/schema_migrations", "postgres/users", "postgres/sequence/groups_id_seq"}
	wantNames(t, Same(loaded, f.take(), Changes{}), names...)
	wantNames(t, Same(loaded, f.take(), Changes{Except: []string{"*"}}))
	wantNames(t, Same(loaded, f.take(), Changes{Except: []string{"home*", "share*", "postgres/s*"}}), "postgres/users")
}

func TestCutoverHidesNoChange(t *testing.T) {
	f := newFixture(t, "assumed")
	before := f.take()
	f.cutOver()
	wantNames(t, Same(before, f.take(), Changes{Cutover: true}))
	f.shell(`echo x >> "$HOME_DIR/golden-repos.pre-cluster/billing/README.md"; rm "$HOME_DIR/golden-repos.pre-cluster/billing-global.json"
		rm "$HOME_DIR/.versioned"; touch "$HOME_DIR/.versioned"`)
	wantNames(t, Same(before, f.take(), Changes{Cutover: true}), "home/golden-repos/billing/README.md", "home/golden-repos/billing-global.json",
		"home/golden-repos")
	f.shell(`cd "$HOME_DIR"; rm golden-repos .versioned data/activated-repos
		for t in golden-repos .versioned data/activated-repos; do mv "$t.pre-cluster" "$t"; done`)
	wantNames(t, Same(before, f.take(), Changes{Rollback: true}), "home/golden-repos/billing/README.md", "home/golden-repos/billing-global.json", "home/golden-repos")
}

func TestTakeNamesWhatItCannotRead(t *testing.T) {
	if _, err := Take(context.Background(), Place{Home: filepath.Join(t.TempDir(), "absent")}); err == nil {
		t.Error("no error for an absent home")
	}
	if _, err := Take(context.Background(), Place{Home: t.TempDir(), DSN: "postgresql://cidx:secretpw@127.0.0.1:1/cidx"}); err == nil {
		t.Error("no error for a dead PostgreSQL")
	}
}
