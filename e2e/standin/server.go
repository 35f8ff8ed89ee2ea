package standin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"cidx-cluster/e2e/standin/internal/repos"
	"cidx-cluster/e2e/standin/internal/schema"
)

// Server is one running server. Make it with Start.
type Server struct {
	opt     Options
	home    string
	cfg     config
	faults  Faults
	layout  repos.Layout
	store   *schema.Store
	log     *log.Logger
	pid     *pidFile
	secrets secrets
	started time.Time
	health  healthCache
	gate    gate
	tripped string // why the reconciler's breaker is open, "" if it is not

	http   *http.Server
	addr   string
	life   context.Context // ends with the server
	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

// Run starts a server, waits for ctx to end and stops it cleanly.
func Run(ctx context.Context, opt Options) error {
	s, err := Start(ctx, opt)
	if err != nil {
		return err
	}
	<-ctx.Done()
	if s.endsUnclean() {
		return s.killSelf()
	}
	return s.Stop()
}

// Start returns when the server answers, i.e. after everything that CIDX does before it binds its port. An error
// leaves nothing running; what the start has already changed on disk and in the database stays changed.
func Start(ctx context.Context, opt Options) (*Server, error) {
	s, err := prepare(opt)
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		s.log.Printf("startup failed: %v", err)
		if s.cancel != nil {
			s.cancel()
		}
		s.tasks.Wait()
		if s.store != nil {
			_ = s.store.Close()
		}
		s.pid.release()
		return nil, fmt.Errorf("start server: %w", err)
	}
	return s, nil
}

// Address is where the server listens, host:port.
func (s *Server) Address() string { return s.addr }

// Stop ends the server as SIGTERM does: no new requests, node row offline, databases closed, pid file removed.
func (s *Server) Stop() error {
	ctx, done := context.WithTimeout(context.Background(), 10*time.Second)
	defer done()
	err := s.http.Shutdown(ctx)
	s.cancel()
	s.tasks.Wait()
	err = errors.Join(err, s.nodeOffline(ctx), s.store.Close())
	s.pid.release()
	s.log.Printf("server stopped")
	return err
}

func prepare(opt Options) (*Server, error) {
	home, err := filepath.Abs(opt.Home)
	if err != nil {
		return nil, fmt.Errorf("find home: %w", err)
	}
	if info, err := os.Stat(home); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("find home: %s is not a directory", home)
	}
	var out io.Writer = os.Stderr
	if opt.Log != nil {
		out = opt.Log
	}
	s := &Server{opt: opt, home: home, log: log.New(out, "", log.LstdFlags|log.LUTC|log.Lmicroseconds), started: time.Now()}
	s.gate.init()
	s.pid, err = lockPid(home)
	return s, err
}

func (s *Server) start(ctx context.Context) error {
	var err error
	if s.cfg, err = readConfig(s.home); err != nil {
		return err
	}
	if s.faults, err = s.opt.activeFaults(s.cfg.cluster); err != nil {
		return err
	}
	data := filepath.Join(s.home, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	if err := os.Chmod(data, 0o700); err != nil {
		return fmt.Errorf("protect data directory: %w", err)
	}
	for _, step := range []func(context.Context) error{
		s.openStorage, s.findLayout, s.centralize, s.loadSecrets, s.seed, s.settleJobs, s.reconcile, s.bootstrapRepos, s.cleanUp, s.realStart,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if err := s.delay(ctx); err != nil {
		return err
	}
	return s.serve(ctx)
}

// openStorage opens what config.json names; a cluster node also opens and writes the main SQLite file.
func (s *Server) openStorage(ctx context.Context) error {
	var err error
	if !s.cfg.cluster {
		s.log.Printf("Storage mode: SQLite (standalone)")
		s.store, err = schema.OpenSQLite(ctx, s.home)
		return err
	}
	dial, done := context.WithTimeout(ctx, 20*time.Second)
	defer done()
	if s.store, err = schema.OpenPostgres(dial, s.cfg.dsn); err != nil {
		return err
	}
	s.log.Printf("Storage mode: PostgreSQL (cluster)")
	local, err := schema.OpenSQLite(ctx, s.home, schema.MainFile)
	if err != nil {
		return err
	}
	return errors.Join(local.Probe(ctx, schema.MainFile), local.Close())
}

// findLayout prefers the real layout as soon as one registry row is spelt in it: a stale golden-repos directory of an
// old release must not stand in for a data/golden-repos that is gone.
func (s *Server) findLayout(ctx context.Context) error {
	real := filepath.Join(s.home, "data", "golden-repos") + string(filepath.Separator)
	rows, err := s.store.Rows(ctx, "golden_repos_metadata", "SELECT clone_path FROM golden_repos_metadata WHERE alias <> ?", metaAlias)
	spelt := false
	for _, r := range rows {
		spelt = spelt || strings.HasPrefix(r.Text("clone_path"), real)
	}
	s.layout = repos.Detect(s.home, spelt)
	return err
}

func (s *Server) delay(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.opt.StartupDelay + s.faults.SlowStart):
	}
	if s.faults.FailStart {
		return errors.New("fault -fail-start")
	}
	return nil
}

// serve binds the port, reports the node online and starts what runs beside the requests.
func (s *Server) serve(start context.Context) error {
	socket, err := net.Listen("tcp", listenAddress(s.home, s.opt.Listen))
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.addr = socket.Addr().String()
	if err := s.nodeOnline(start); err != nil {
		_ = socket.Close()
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.life, s.cancel = ctx, cancel
	s.http = &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: s.log}
	s.spawn(func() {
		if err := s.http.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
			s.log.Printf("serve: %v", err)
		}
	})
	s.spawn(func() { s.heartbeat(ctx) })
	s.spawn(func() { s.traffic(ctx) })
	s.spawn(func() { s.indexChildren(ctx) })
	s.log.Printf("Application startup complete, listening on %s", s.addr)
	if s.opt.Ready != nil {
		_, _ = fmt.Fprintf(s.opt.Ready, "ok %s\n", s.addr)
		if c, ok := s.opt.Ready.(io.Closer); ok {
			_ = c.Close()
		}
	}
	return nil
}

func (s *Server) spawn(task func()) {
	s.tasks.Add(1)
	go func() {
		defer s.tasks.Done()
		task()
	}()
}
