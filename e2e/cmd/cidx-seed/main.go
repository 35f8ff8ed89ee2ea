// Command cidx-seed makes a standalone CIDX home, what cluster-join.sh leaves
// in it, and CIDX's PostgreSQL schema. `cidx-seed help` lists the commands.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"cidx-cluster/e2e/seed"
)

const usage = `usage:
  cidx-seed home -home DIR [-layout real|assumed] [-repos 12] [-rows 40] [-events N] [-files-per-repo 60]
                 [-snapshots 2] [-users 8] [-random 1] [-host 127.0.0.1] [-port N] [-facts FILE]
  cidx-seed join -home DIR -share MOUNT [-node-id node-1]      DSN from CIDX_POSTGRES_DSN
  cidx-seed schema [-after-start]                              DSN from CIDX_POSTGRES_DSN
  cidx-seed firststart [-home DIR] [-keys=false]               DSN from CIDX_POSTGRES_DSN
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cidx-seed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("no command\n%s", usage)
	}
	commands := map[string]func(context.Context, *flag.FlagSet, []string) error{
		"home": home, "join": join, "schema": schema, "firststart": firstStart,
	}
	do, known := commands[args[0]]
	if !known {
		if args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
			fmt.Print(usage)
			return nil
		}
		return fmt.Errorf("unknown command %q\n%s", args[0], usage)
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	return do(ctx, flags, args[1:])
}

func home(ctx context.Context, flags *flag.FlagSet, args []string) error {
	o := seed.Defaults()
	flags.StringVar(&o.Home, "home", "", "data directory to make")
	flags.StringVar(&o.Layout, "layout", o.Layout, "real or assumed")
	flags.IntVar(&o.Repos, "repos", o.Repos, "golden repositories besides cidx-meta")
	flags.IntVar(&o.Rows, "rows", o.Rows, "rows of an ordinary table")
	flags.IntVar(&o.Events, "events", o.Events, "rows of each large table (default five times -rows)")
	flags.IntVar(&o.FilesPerRepo, "files-per-repo", o.FilesPerRepo, "files of a base clone besides .git")
	flags.IntVar(&o.Snapshots, "snapshots", o.Snapshots, "snapshots per repository, 1 to 3")
	flags.IntVar(&o.Users, "users", o.Users, "accounts")
	flags.Uint64Var(&o.Random, "random", o.Random, "seed of everything invented")
	flags.StringVar(&o.Host, "host", o.Host, "host in launch.json")
	flags.IntVar(&o.Port, "port", o.Port, "port in launch.json; 0 writes none")
	facts := flags.String("facts", "", "file for what a test must know of the home (0600)")
	if err := parse(flags, args); err != nil {
		return err
	}
	made, err := seed.Home(ctx, o)
	if err != nil || *facts == "" {
		return err
	}
	return made.Write(*facts)
}

func join(_ context.Context, flags *flag.FlagSet, args []string) error {
	var j seed.Join
	flags.StringVar(&j.Home, "home", "", "data directory of the server")
	flags.StringVar(&j.Share, "share", "", "mount point of the share")
	flags.StringVar(&j.NodeID, "node-id", "node-1", "cluster.node_id")
	if err := parse(flags, args); err != nil {
		return err
	}
	dsn, err := dsn()
	if err != nil {
		return err
	}
	j.DSN = dsn
	return j.Apply()
}

func schema(ctx context.Context, flags *flag.FlagSet, args []string) error {
	afterStart := flags.Bool("after-start", false, "also make the tables of a first server start")
	if err := parse(flags, args); err != nil {
		return err
	}
	dsn, err := dsn()
	if err != nil {
		return err
	}
	return seed.ApplySchema(ctx, dsn, *afterStart)
}

func firstStart(ctx context.Context, flags *flag.FlagSet, args []string) error {
	home := flags.String("home", "", "data directory whose .jwt_secret the server would store")
	keys := flags.Bool("keys", true, "also leave rows in cluster_secrets")
	if err := parse(flags, args); err != nil {
		return err
	}
	dsn, err := dsn()
	if err != nil {
		return err
	}
	if !*keys {
		return seed.FirstStartRows(ctx, dsn, *home)
	}
	return seed.FirstStart(ctx, dsn, *home)
}

func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return nil
}

func dsn() (string, error) {
	dsn := os.Getenv("CIDX_POSTGRES_DSN")
	if dsn == "" {
		return "", errors.New("CIDX_POSTGRES_DSN: not set")
	}
	return dsn, nil
}
