package kept

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
	all := maps.Clone(then)
	maps.Copy(all, now)
	return slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(table string) bool { return now[table] == then[table] })
}

// digests are those of the tables of a database.
func digests(ctx context.Context, database, to string) (map[string][sha256.Size]byte, error) {
	if err := sqlite.Copy(ctx, database, to); err != nil {
		return nil, err
	}
	conn, err := sqlite.OpenCopy(to, database)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	tables, err := conn.Tables()
	if err != nil {
		return nil, err
	}
	found := map[string][sha256.Size]byte{}
	for _, t := range tables {
		if found[t.Name], err = digest(conn, t.Name); err != nil {
			return nil, err
		}
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
