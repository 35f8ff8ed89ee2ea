package kept

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/copies"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/scratch"
	"cidx-cluster/modules/internal/sqlite"
)

// most is the size of a database up to which the tables that changed are looked
// for: the server is down meanwhile.
const most = 256 << 20

// Tables names the tables of a database that differ from its copy; none where they
// cannot be told: the file is named all the same.
func (d Difference) Tables(ctx context.Context, c home.Common) []string {
	name := strings.TrimSuffix(strings.TrimSuffix(d.Of.Path, "-wal"), "-journal")
	live := filepath.Join(c.Home, name)
	info, err := os.Stat(live)
	if d.Of.Kind != Database || d.What == Missing || err != nil || info.Size() > most {
		return nil
	}
	temp, err := scratch.New(copies.Kind)
	if err != nil {
		return nil
	}
	defer temp.Remove()
	then, err := digests(ctx, c.State().Snapshot(name), filepath.Join(temp.Path, "then.db"))
	if err != nil {
		return nil
	}
	now, err := digests(ctx, live, filepath.Join(temp.Path, "now.db"))
	if err != nil {
		return nil
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
	return changed
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
