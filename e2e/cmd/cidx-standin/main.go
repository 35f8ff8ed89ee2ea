// Command cidx-standin is a CIDX server for tests; package standin says what it promises.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"cidx-cluster/e2e/standin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := standin.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
