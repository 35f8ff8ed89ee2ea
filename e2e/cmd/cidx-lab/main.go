// Command cidx-lab stages a lab and waits until it is interrupted: for a look
// at a migration of real nodes by hand.
//
//	cidx-lab [-repo .]     prints how to reach everything; Ctrl-C takes it down
//	cidx-lab sweep         takes down what killed labs left
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"cidx-cluster/e2e/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "cidx-lab:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	repo := flag.String("repo", ".", "root of the checkout, after make modules tools")
	flag.Parse()
	switch words := flag.Args(); {
	case len(words) == 1 && words[0] == "sweep":
		return lab.Sweep()
	case len(words) > 0:
		return fmt.Errorf("unknown command %q: sweep, or none", strings.Join(words, " "))
	}
	root, err := filepath.Abs(*repo)
	if err != nil {
		return fmt.Errorf("resolve checkout: %w", err)
	}
	if err := lab.Sweep(); err != nil {
		return err
	}
	l, err := lab.Up(ctx, root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Down()) }()
	if err := l.Fresh(ctx); err != nil {
		return err
	}
	c, err := l.Controller("shell")
	if err != nil {
		return err
	}
	script := filepath.Join(l.Dir, "env.sh")
	if err := c.WriteShell(script); err != nil {
		return err
	}
	fmt.Printf("node1 serves at %s, standalone and joined; a shell for playbooks:\n  . %s\n  ansible-playbook cluster-migrate.yml -l node1\n  %s\nCtrl-C takes everything down.\n",
		l.Node1.URL(), script, l.Node1.Enter())
	<-ctx.Done()
	return nil
}
