package schema

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
)

// Tear begins a large transaction in a database of journal mode DELETE, spills half of it into the file and leaves it
// open: a process that is killed now leaves a hot journal, without which the file is damaged.
func Tear(home, file string) error {
	ctx := context.Background()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(home, file)+"?_pragma=busy_timeout(10000)&_pragma=cache_size(2)")
	if err != nil {
		return fmt.Errorf("tear %s: %w", file, err)
	}
	db.SetMaxOpenConns(1)
	for _, stmt := range []string{
		"BEGIN IMMEDIATE", "CREATE TABLE torn (id INTEGER PRIMARY KEY, filler BLOB)", "UPDATE oauth_clients SET client_name = 'half written'",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO torn SELECT i, randomblob(4000) FROM n",
	} {
		if _, err := db.ExecContext(ctx, stmt); err != nil {
			return fmt.Errorf("tear %s: %w", file, err)
		}
	}
	if info, err := os.Stat(filepath.Join(home, file+"-journal")); err != nil || info.Size() == 0 {
		return fmt.Errorf("tear %s: it has no journal", file)
	}
	return nil
}
