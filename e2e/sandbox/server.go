package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"cidx-cluster/e2e/seed"
)

func (s *Sandbox) makeHome(ctx context.Context, o Options) error {
	o.Seed.Home, o.Seed.Host, o.Seed.Port = s.Home, "127.0.0.1", s.Port
	facts, err := seed.Home(ctx, o.Seed)
	if err != nil {
		return fmt.Errorf("make home: %w", err)
	}
	facts.Secrets = append(facts.Secrets, s.Postgres.Password, s.Postgres.AdminPassword)
	if err := facts.Write(s.Facts()); err != nil {
		return err
	}
	return s.own(s.UserHome)
}

// own gives a folder and all below it to the service user.
func (s *Sandbox) own(root string) error {
	if s.User == "" {
		return nil
	}
	account, err := credential(s.User)
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(account.Uid), int(account.Gid))
	})
}

func (s *Sandbox) startServer(ctx context.Context, o Options) error {
	if o.NoServer {
		return nil
	}
	if err := s.Server(ctx, "start"); err != nil {
		return err
	}
	return s.Healthy(ctx, 30*time.Second)
}

func (s *Sandbox) join(_ context.Context, o Options) error {
	if o.NoJoin {
		return nil
	}
	return s.Join()
}

// Join does what an operator does before the migration: cluster-join.sh.
func (s *Sandbox) Join() error {
	j := seed.Join{Home: s.Home, Share: s.Share, NodeID: "node-1", DSN: s.Postgres.DSN()}
	if err := j.Apply(); err != nil {
		return fmt.Errorf("join cluster: %w", err)
	}
	if s.User == "" {
		return nil
	}
	written, err := filepath.Glob(filepath.Join(s.Home, "config.json*"))
	if err != nil {
		return fmt.Errorf("join cluster: %w", err)
	}
	for _, path := range written {
		if err := s.own(path); err != nil {
			return fmt.Errorf("join cluster: %w", err)
		}
	}
	return nil
}

// FaultsFile is read by the stand-in at each start in cluster mode: one fault a line.
func (s *Sandbox) FaultsFile() string { return filepath.Join(s.Dir, "faults") }

// command is a service command of the stand-in, as an argument list.
func (s *Sandbox) command(verb string) []string {
	args := []string{filepath.Join(s.Bin, "cidx-standin"), "ctl", verb, "-home", s.Home,
		"-faults", s.FaultsFile(), "-faults-in", "cluster"}
	return append(args, s.Standin...)
}

// ServiceCommand is what an inventory names: a script of the sandbox that runs
// the stand-in as its service user.
func (s *Sandbox) ServiceCommand(verb string) string { return filepath.Join(s.Dir, "bin", verb) }

// writeCommands makes the scripts.
func (s *Sandbox) writeCommands(_ context.Context, _ Options) error {
	if err := os.MkdirAll(filepath.Join(s.Dir, "bin"), 0o755); err != nil {
		return fmt.Errorf("write service commands: %w", err)
	}
	for _, verb := range []string{"start", "stop", "status"} {
		words := s.command(verb)
		script := "#!/bin/sh\n"
		if s.User != "" {
			words = append([]string{"env", "HOME=" + s.UserHome}, words...)
			// Whoever is not root is that account already.
			become := []string{"setpriv", "--reuid", s.User, "--regid", s.User, "--clear-groups"}
			script += "[ \"$(id -u)\" != 0 ] || exec '" + strings.Join(append(become, words...), "' '") + "'\n"
		}
		script += "exec '" + strings.Join(words, "' '") + "'\n"
		if err := os.WriteFile(s.ServiceCommand(verb), []byte(script), 0o755); err != nil {
			return fmt.Errorf("write service commands: %w", err)
		}
	}
	return nil
}

// Server runs start, stop or status of the stand-in as its service user.
func (s *Sandbox) Server(ctx context.Context, verb string) error {
	words := s.command(verb)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), "HOME="+s.UserHome)
	if s.User != "" {
		account, err := credential(s.User)
		if err != nil {
			return err
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: account}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("server %s: %w: %s", verb, err, bytes.TrimSpace(out))
	}
	return nil
}

// Running asks the stand-in itself, not the port.
func (s *Sandbox) Running(ctx context.Context) bool { return s.Server(ctx, "status") == nil }

// Healthy waits until the server answers its anonymous probe with 200.
func (s *Sandbox) Healthy(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := s.probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s/healthz: %w", s.URL, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *Sandbox) probe(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/healthz", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", res.Status)
	}
	return nil
}
