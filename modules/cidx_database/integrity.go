package database

import (
	"context"
	"os"
	"strings"
	"sync"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/sqlite"
)

// integrity has SQLite check the structure of every copy.
func (s *source) integrity(ctx context.Context, m *load.Meter) error {
	var problems problem.List
	for file, conn := range s.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if file != cidx.Activated {
			m.Begin("checking "+file, 0, "")
			problems.Add(quickCheck(conn))
		}
	}
	return problems.Err()
}

func quickCheck(conn *sqlite.Conn) error {
	faults, err := conn.QuickCheck(5)
	if err != nil {
		return err
	}
	if len(faults) > 0 {
		return problem.Problem{What: "the database is damaged: " + strings.Join(faults, "; "), At: conn.Name(),
			Fix: "restore a backup of it, or repair it with the server stopped (sqlite3 FILE .recover), then migrate again"}
	}
	return nil
}

// smallFile is up to which size a database is checked again in a real run. The
// rehearsal checks all; a large one would cost more time than loading it.
const smallFile = 64 << 20

// checkSmall checks the small databases beside what else is going on, on
// connections of its own. The function that it returns waits for the result.
func checkSmall(s *source) func() error {
	names := map[string]string{} // of the databases, by the path of the copy
	for file, conn := range s.files {
		if info, err := os.Stat(conn.Path()); file != cidx.Activated && err == nil && info.Size() <= smallFile {
			names[conn.Path()] = conn.Name()
		}
	}
	result := make(chan error, 1)
	go func() {
		var problems problem.List
		for path, name := range names {
			conn, err := sqlite.OpenCopy(path, name)
			if err != nil {
				problems.Add(err)
				continue
			}
			problems.Add(quickCheck(conn))
			conn.Close()
		}
		result <- problems.Err()
	}()
	return sync.OnceValue(func() error { return <-result })
}
