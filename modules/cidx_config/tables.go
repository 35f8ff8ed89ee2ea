package config

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"

	"cidx-cluster/modules/internal/sqlite"
)

// most is the size of a database up to which the tables that changed are looked
// for: the server is down meanwhile.
const most = 256 << 20

// changedTables compares a live database with its copy, table by table. Both are
// read in private copies below temp, which is removed.
func changedTables(ctx context.Context, live, snapshot, temp string) ([]string, error) {
	if info, err := os.Stat(live); err != nil || info.Size() > most {
		return nil, err
	}
	if err := os.RemoveAll(temp); err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp) //nolint:errcheck // the next run removes it
	then, err := digests(ctx, snapshot, filepath.Join(temp, "then.db"))
	if err != nil {
		return nil, err
	}
	now, err := digests(ctx, live, filepath.Join(temp, "now.db"))
	if err != nil {
		return nil, err
	}
	var changed []string
	for _, t := range now.names {
		if now.sums[t] != then.sums[t] {
			changed = append(changed, t)
		}
	}
	for _, t := range then.names {
		if _, ok := now.sums[t]; !ok {
			changed = append(changed, t)
		}
	}
	return changed, nil
}

// contents are the tables of a database, in its order, each with a digest.
type contents struct {
	names []string
	sums  map[string][sha256.Size]byte
}

func digests(ctx context.Context, database, to string) (contents, error) {
	found := contents{sums: map[string][sha256.Size]byte{}}
	if err := sqlite.Copy(ctx, database, to); err != nil {
		return found, err
	}
	conn, err := sqlite.OpenCopy(to, database)
	if err != nil {
		return found, err
	}
	defer conn.Close()
	tables, err := conn.Tables()
	if err != nil {
		return found, err
	}
	for _, t := range tables {
		if found.sums[t.Name], err = digest(conn, t.Name); err != nil {
			return found, err
		}
		found.names = append(found.names, t.Name)
	}
	return found, nil
}

func digest(conn *sqlite.Conn, table string) (sum [sha256.Size]byte, err error) {
	rows, err := conn.Query("SELECT * FROM " + sqlite.Quote(table))
	if err != nil {
		return sum, err
	}
	defer rows.Close()
	h := sha256.New()
	for rows.Next() {
		for i := range rows.Width() {
			fmt.Fprintf(h, "%v\x00", rows.Value(i))
		}
		fmt.Fprint(h, "\n")
	}
	h.Sum(sum[:0])
	return sum, rows.Err()
}
