// Command cidx-sandbox stages a standalone CIDX server with everything around
// it on this machine, ready to be migrated; package sandbox says what that is.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"cidx-cluster/e2e/sandbox"
)

const usage = `usage:
  cidx-sandbox up -dir DIR [flags]     stage; then: . DIR/env.sh && ansible-playbook cluster-migrate.yml -l node1
  cidx-sandbox down -dir DIR           end what was started, unmount, remove DIR
  cidx-sandbox enter COMMAND…          run a command where an ordinary user may mount (a user namespace);
                                       up, the playbook and down all belong inside
  cidx-sandbox sweep                   take down sandboxes of tests that were killed

Flags of up:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "cidx-sandbox:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return errors.New("no command; cidx-sandbox help lists them")
	}
	switch args[0] {
	case "up":
		return up(ctx, args[1:], stdout, stderr)
	case "down":
		return down(args[1:], stderr)
	case "enter":
		if len(args) == 1 {
			return errors.New("enter: no command")
		}
		return sandbox.Enter(args[1:])
	case "sweep":
		return sandbox.Sweep()
	case "help", "-h", "--help":
		fmt.Fprint(stdout, usage)
		flags, _ := upFlags(stdout)
		flags.PrintDefaults()
		return nil
	}
	return fmt.Errorf("unknown command %q; cidx-sandbox help lists them", args[0])
}

func upFlags(out io.Writer) (*flag.FlagSet, *sandbox.Options) {
	o := sandbox.Defaults()
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	flags.SetOutput(out)
	sandbox.Flags(flags, &o)
	flags.StringVar(&o.Dir, "dir", "", "`folder` of the sandbox, empty or absent (required)")
	flags.StringVar(&o.Bin, "bin", "", "`folder` of cidx-standin (default: this program's)")
	flags.StringVar(&o.Cache, "cache", "", "`folder` for a PostgreSQL cluster ready to be copied")
	flags.IntVar(&o.Owner, "owner", 0, "`pid`: sweep takes the sandbox down once this process is gone")
	return flags, &o
}

func up(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags, o := upFlags(stderr)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("up: unexpected argument %q", flags.Arg(0))
	}
	if o.Bin == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find own program: %w", err)
		}
		o.Bin = filepath.Dir(self)
	}
	s, err := sandbox.Up(ctx, *o)
	if err != nil {
		return err
	}
	if !s.Mounted && !o.PlainShare {
		fmt.Fprintln(stderr, "cidx-sandbox: the share is a plain folder, which the migration refuses: an ordinary user may not mount."+
			"\n  Run everything inside: cidx-sandbox enter bash")
	}
	fmt.Fprintf(stdout, "home       %s\nshare      %s\nserver     %s\nPostgreSQL 127.0.0.1:%d, role and database cidx\ninventory  %s\n"+
		"\n. %s/env.sh && ansible-playbook cluster-migrate.yml -l node1\n",
		s.Home, s.Share, s.URL, s.Postgres.Port, s.Inventory(), s.Dir)
	return nil
}

func down(args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("down", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("dir", "", "`folder` of the sandbox (required)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		return errors.New("down: no -dir given")
	}
	s, err := sandbox.Load(*dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.Down()
}
