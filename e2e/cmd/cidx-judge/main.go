// Command cidx-judge decides whether a source is untouched and whether a
// cluster holds what the standalone server held. Exit code 0: as it must be;
// 1: differences; 2: wrong usage, or something could not be read.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"cidx-cluster/e2e/judge"
)

const usage = `usage (DSN from CIDX_POSTGRES_DSN; without it hash and same leave PostgreSQL out):
  cidx-judge hash  -home DIR [-share DIR] -out FILE
  cidx-judge same  -before FILE -home DIR [-share DIR] [-cutover | -rollback] [-except GLOB,…] [-json]
  cidx-judge equal -home DIR -share DIR [-source DIR] [-only tables,files,aliases,config] [-paths mount|local|either]
                   [-zone Europe/Berlin] [-running] [-ignore owner,mode,mtime] [-except GLOB,…] [-json]
`

var errDifferent = errors.New("different")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, errDifferent):
		os.Exit(1)
	case err != nil && !errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(os.Stderr, "cidx-judge:", err)
		os.Exit(2)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("no command\n%s", usage)
	}
	commands := map[string]func(context.Context, *flag.FlagSet, []string, io.Writer) error{"hash": hash, "same": same, "equal": equal}
	do, known := commands[args[0]]
	if !known {
		if args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
			fmt.Fprint(stdout, usage)
			return nil
		}
		return fmt.Errorf("unknown command %q\n%s", args[0], usage)
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	return do(ctx, flags, args[1:], stdout)
}

func hash(ctx context.Context, flags *flag.FlagSet, args []string, _ io.Writer) error {
	place := placeFlags(flags)
	out := flags.String("out", "", "file for the state (JSON Lines, 0600)")
	if err := parse(flags, args, "home", "out"); err != nil {
		return err
	}
	state, err := judge.Take(ctx, *place)
	if err != nil {
		return err
	}
	return state.Save(*out)
}

func same(ctx context.Context, flags *flag.FlagSet, args []string, stdout io.Writer) error {
	var c judge.Changes
	place := placeFlags(flags)
	before := flags.String("before", "", "state made by hash")
	flags.BoolVar(&c.Cutover, "cutover", false, "permit the changes of a cut-over")
	flags.BoolVar(&c.Rollback, "rollback", false, "permit what remains after a rollback")
	except := flags.String("except", "", "globs of names that may differ, separated by commas")
	asJSON := flags.Bool("json", false, "print JSON")
	if err := parse(flags, args, "home", "before"); err != nil {
		return err
	}
	c.Except = strings.Split(*except, ",")
	was, err := judge.Load(*before)
	if err != nil {
		return err
	}
	is, err := judge.Take(ctx, *place)
	if err != nil {
		return err
	}
	return answer(judge.Same(was, is, c), *asJSON, stdout)
}

func equal(ctx context.Context, flags *flag.FlagSet, args []string, stdout io.Writer) error {
	c := judge.Comparison{DSN: os.Getenv("CIDX_POSTGRES_DSN")}
	flags.StringVar(&c.Home, "home", "", "data directory of the server")
	flags.StringVar(&c.Share, "share", "", "mount point of the share")
	flags.StringVar(&c.Source, "source", "", "folder with the SQLite files, if not the home")
	flags.StringVar(&c.Spelling, "paths", judge.SpellMount, "spelling of paths in PostgreSQL: mount, local or either")
	flags.BoolVar(&c.Running, "running", false, "permit what a running cluster server adds")
	only := flags.String("only", strings.Join(judge.Parts, ","), "parts to compare")
	zone := flags.String("zone", "", "zone of naive local times; default the host's")
	ignore := flags.String("ignore", "", "attributes of files to ignore: owner, mode, mtime")
	except := flags.String("except", "", "globs of names that may differ, separated by commas")
	asJSON := flags.Bool("json", false, "print JSON")
	if err := parse(flags, args, "home", "share"); err != nil {
		return err
	}
	c.Only, c.Except = strings.Split(*only, ","), strings.Split(*except, ",")
	if err := refine(&c, *zone, *ignore); err != nil {
		return err
	}
	report, err := judge.Equal(ctx, c)
	if err != nil {
		return err
	}
	return answer(report, *asJSON, stdout)
}

func refine(c *judge.Comparison, zone, ignore string) error {
	for _, part := range c.Only {
		if !slices.Contains(judge.Parts, part) {
			return fmt.Errorf("-only: unknown part %q", part)
		}
	}
	if slices.Contains(c.Only, judge.PartTables) && c.DSN == "" {
		return errors.New("CIDX_POSTGRES_DSN: not set")
	}
	if !slices.Contains([]string{judge.SpellMount, judge.SpellLocal, judge.SpellEither}, c.Spelling) {
		return fmt.Errorf("-paths: unknown spelling %q", c.Spelling)
	}
	if zone != "" {
		at, err := time.LoadLocation(zone)
		if err != nil {
			return fmt.Errorf("-zone: %w", err)
		}
		c.Zone = at
	}
	for _, attribute := range strings.FieldsFunc(ignore, func(r rune) bool { return r == ',' }) {
		switch attribute {
		case "owner":
			c.Ignore.Owner = true
		case "mode":
			c.Ignore.Mode = true
		case "mtime":
			c.Ignore.Mtime = true
		default:
			return fmt.Errorf("-ignore: unknown attribute %q", attribute)
		}
	}
	return nil
}

func placeFlags(flags *flag.FlagSet) *judge.Place {
	p := &judge.Place{DSN: os.Getenv("CIDX_POSTGRES_DSN")}
	flags.StringVar(&p.Home, "home", "", "data directory of the server")
	flags.StringVar(&p.Share, "share", "", "mount point of the share")
	return p
}

func parse(flags *flag.FlagSet, args []string, required ...string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	for _, name := range required {
		if flags.Lookup(name).Value.String() == "" {
			return fmt.Errorf("-%s: missing", name)
		}
	}
	return nil
}

func answer(r *judge.Report, asJSON bool, stdout io.Writer) error {
	if asJSON {
		if err := r.JSON(stdout); err != nil {
			return err
		}
	} else {
		r.Print(stdout)
	}
	if !r.Equal() {
		return errDifferent
	}
	if !asJSON {
		fmt.Fprintln(stdout, "EQUAL")
	}
	return nil
}
