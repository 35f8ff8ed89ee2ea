package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// judge asks cidx-judge, which shares no code with the modules:
//
//	judge hash NAME            remembers home, share and PostgreSQL as they are
//	judge same NAME [flags]    compares with that ("!": they must differ)
//	judge equal [flags]        compares the standalone data with the cluster
//
// With -as-user the judge is the service user, to read a share on which root is
// nobody. With -serving, "same" leaves out what a quiet running server writes by itself
// whenever anybody asks whether it is healthy: a row in each database. With
// -probed it leaves out the time stamp of the share's top folder, in which a
// real run's pre-checks have made and removed a file.
func (st *stage) judge(c *call) error {
	if len(c.args) == 0 {
		return errors.New("hash, same or equal?")
	}
	verb, rest := c.args[0], c.args[1:]
	words := []string{filepath.Join(bin, "cidx-judge")}
	if len(rest) > 0 && rest[0] == "-as-user" {
		rest = rest[1:]
		words = append([]string{"setpriv", "--reuid", st.box.User, "--regid", st.box.User, "--clear-groups"}, words...)
	}
	args := []string{verb, "-home", st.box.Home, "-share", st.box.Share}
	switch {
	case verb == "equal":
	case len(rest) == 0:
		return errors.New("no name given")
	case verb == "hash":
		args = append(args, "-out", filepath.Join(st.work, rest[0]+".hash"))
		rest = rest[1:]
	case verb == "same":
		args = append(args, "-before", filepath.Join(st.work, rest[0]+".hash"))
		rest = rest[1:]
		rest = ownWrites(rest)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	words = append(append(words, args...), rest...)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), "CIDX_POSTGRES_DSN="+st.box.Postgres.DSN())
	cmd.Stdout, cmd.Stderr = c.out, c.ts.Stderr()
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return fmt.Errorf("differences found: %w", errVerdict)
	}
	return err
}

// psql runs one statement as the role cidx and prints the rows, unaligned.
func (st *stage) psql(c *call) error {
	if len(c.args) != 1 {
		return errors.New("one statement, please")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "psql", "-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-c", c.args[0])
	cmd.Env = append(os.Environ(), st.box.Postgres.Env()...)
	cmd.Stdout, cmd.Stderr = c.out, c.ts.Stderr()
	return cmd.Run()
}

// sqlite runs one statement on a database of the home: sqlite FILE SQL. The
// server should be stopped.
func (st *stage) sqlite(c *call) error {
	if len(c.args) != 2 {
		return errors.New("a file below the home and one statement, please")
	}
	cmd := exec.Command("sqlite3", "-batch", "-bail", filepath.Join(st.box.Home, c.args[0]), c.args[1])
	cmd.Stdout, cmd.Stderr = c.out, c.ts.Stderr()
	return cmd.Run()
}

// ownWrites turns -serving and -probed into exceptions.
func ownWrites(flags []string) []string {
	var except, rest []string
	for _, f := range flags {
		switch f {
		case "-serving":
			except = append(except, "home", "home/*.db", "home/*.db-wal", "home/*.db-journal", "home/data")
		case "-probed":
			except = append(except, "share")
		default:
			rest = append(rest, f)
		}
	}
	if len(except) > 0 {
		rest = append([]string{"-except=" + strings.Join(except, ",")}, rest...)
	}
	return rest
}
