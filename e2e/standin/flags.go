package standin

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"cidx-cluster/e2e/standin/internal/schema"
)

const usage = `cidx-standin -home DIR [flags]                 run in the foreground until SIGTERM
cidx-standin ctl start|stop|kill|status -home DIR [flags]   start detached, stop, kill -9, or ask (0 running, 3 stopped)
cidx-standin schema                            create CIDX's tables; connection string in $CIDX_POSTGRES_DSN

Flags:
`

// Main runs the command line and returns the exit code.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := dispatch(ctx, args, stdout, stderr)
	var code exitCode
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	_, _ = fmt.Fprintf(stderr, "cidx-standin: %v\n", err)
	return 1
}

// exitCode ends the program without a message.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit %d", int(c)) }

func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	switch {
	case len(args) > 0 && args[0] == "schema":
		return makeSchema(ctx)
	case len(args) > 1 && args[0] == "ctl":
		return control(args[1], args[2:], stdout, stderr)
	}
	opt, _, err := parseFlags(args, stderr)
	if err != nil {
		return err
	}
	return Run(ctx, opt)
}

// parseFlags reads the command line; wait is how long ctl start waits for the port.
func parseFlags(args []string, stderr io.Writer) (opt Options, wait time.Duration, err error) {
	f := flag.NewFlagSet("cidx-standin", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		_, _ = fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	f.StringVar(&opt.Home, "home", os.Getenv("CIDX_SERVER_DATA_DIR"), "the server's data `directory`; default $CIDX_SERVER_DATA_DIR")
	f.StringVar(&opt.Listen, "listen", "", "`host:port`; default from applied_launch.json, launch.json, else 127.0.0.1:8000; port 0 takes a free one")
	f.DurationVar(&opt.WriteInterval, "write-interval", 200*time.Millisecond, "pace of a standalone server's own writes")
	f.DurationVar(&opt.StartupDelay, "startup-delay", 0, "wait so long before answering")
	f.BoolVar(&opt.Quiet, "quiet", false, "write nothing unasked")
	f.BoolVar(&opt.Refresh, "refresh", false, "standalone: make a snapshot and swap an alias every 25 writes")
	f.DurationVar(&opt.IndexChildren, "index-children", 0, "standalone: every so often an index child writes a row to the database that config.json names by then (0: never)")
	f.BoolVar(&opt.RealStart, "real-start", false, "cluster: leave and destroy all that a real start does (jobs, counters, admin with bcrypt, ~/.ssh/config)")
	f.StringVar(&opt.EndUnclean, "end-unclean", "", "`mode` in which a stop ends like a kill, with hot WALs and journals: standalone, cluster or both")
	f.BoolVar(&opt.Reap, "reap", false, "deactivate repositories idle for 30 days at the start")
	f.IntVar(&opt.VolumeDegraded, "volume-degraded", 0, "`percent` of the volume that make the health degraded (CIDX: 80; 0: off)")
	f.IntVar(&opt.VolumeSick, "volume-unhealthy", 0, "`percent` of the volume that make it unhealthy (CIDX: 90; 0: off)")
	f.BoolVar(&opt.Faults.FailStart, "fail-start", false, "fault: die at the end of the start")
	f.BoolVar(&opt.Faults.NeverHealthy, "never-healthy", false, "fault: /healthz stays 503")
	f.BoolVar(&opt.Faults.NoEmbeddings, "no-embeddings", false, "fault: semantic search fails")
	f.IntVar(&opt.Faults.BusyCPU, "busy-cpu", 0, "fault: /healthz is 503 because so many `percent` of CPU are in use (CIDX: from 95 on)")
	f.IntVar(&opt.Faults.LoseRepos, "lose-repos", 0, "fault: leave the last `N` repositories out of every listing")
	f.DurationVar(&opt.Faults.SlowStart, "slow-start", 0, "fault: as -startup-delay")
	f.StringVar(&opt.FaultsFile, "faults", os.Getenv("CIDX_STANDIN_FAULTS"), "`file` with one fault per line, e.g. \"lose-repos 2\"; read at each start")
	f.StringVar(&opt.FaultsIn, "faults-in", os.Getenv("CIDX_STANDIN_FAULTS_IN"), "confine faults to one `mode`: cluster or standalone")
	f.DurationVar(&wait, "wait", 2*time.Minute, "ctl start: wait so long for the port")
	ready := f.Int("ready-fd", 0, "ctl's own: descriptor that gets \"ok <address>\" once the port is bound")
	if err := f.Parse(args); err != nil {
		return opt, 0, exitOr(err)
	}
	if opt.Home == "" || f.NArg() > 0 {
		f.Usage()
		return opt, 0, exitCode(2)
	}
	if *ready > 0 {
		syscall.CloseOnExec(*ready)
		opt.Ready = os.NewFile(uintptr(*ready), "ready")
	}
	return opt, wait, nil
}

// exitOr turns a mistake that the flag package has already printed into a bare exit code.
func exitOr(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	return exitCode(2)
}

// makeSchema does what CIDX's migration runner does; the connection string comes by environment, so that no password
// stands in a process list.
func makeSchema(ctx context.Context) error {
	dsn := os.Getenv("CIDX_POSTGRES_DSN")
	if dsn == "" {
		return errors.New("schema: CIDX_POSTGRES_DSN is not set")
	}
	return schema.CreatePostgres(ctx, dsn)
}
