package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"cidx-cluster/e2e/internal/ports"
)

// Sandbox is a staged machine. It is kept in <Dir>/sandbox.json (0600), so that
// other processes can go on with it.
type Sandbox struct {
	Dir      string   `json:"dir"`
	Home     string   `json:"home"`     // the server's data directory
	UserHome string   `json:"userHome"` // HOME of the service user and of whoever runs Ansible
	Share    string   `json:"share"`
	Mounted  bool     `json:"mounted"` // the share is a mount of ours
	Bin      string   `json:"bin"`
	URL      string   `json:"url"` // of the server
	Port     int      `json:"port"`
	User     string   `json:"user"`
	Owner    Process  `json:"owner"`
	Postgres Postgres `json:"postgres"`
	Standin  []string `json:"standin"`
}

// Facts is the file with what a test must know of the home (seed.Facts, 0600).
func (s *Sandbox) Facts() string { return filepath.Join(s.Dir, "facts.json") }

// Inventory is the folder with the Ansible inventory.
func (s *Sandbox) Inventory() string { return filepath.Join(s.Dir, "inventory") }

// Reports is where the controller's copies of reports go.
func (s *Sandbox) Reports() string { return filepath.Join(s.Dir, "reports") }

// HelperDir is the helper's cache: that of whoever migrates, which is not the
// service user where one is named.
func (s *Sandbox) HelperDir() string {
	if s.User != "" {
		return filepath.Join(s.Dir, "helper")
	}
	return filepath.Join(s.UserHome, ".cache", "cidx-helper")
}

// Up stages everything, or leaves nothing behind.
func Up(ctx context.Context, o Options) (*Sandbox, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s, err := plan(o)
	if err != nil {
		return nil, err
	}
	if err := s.up(ctx, o); err != nil {
		return nil, errors.Join(err, s.Down())
	}
	return s, nil
}

func plan(o Options) (*Sandbox, error) {
	ports, err := ports.Free(2)
	if err != nil {
		return nil, err
	}
	owner, err := processOf(o.Owner)
	if err != nil {
		return nil, err
	}
	userHome := filepath.Join(o.Dir, "home")
	return &Sandbox{
		Dir: o.Dir, UserHome: userHome, Home: filepath.Join(userHome, ".cidx-server"),
		Share: filepath.Join(o.Dir, "share"), Bin: o.Bin, Owner: owner, User: o.User, Standin: o.Standin,
		Port: ports[0], URL: fmt.Sprintf("http://127.0.0.1:%d", ports[0]),
		Postgres: Postgres{Port: ports[1], Data: filepath.Join(o.Dir, "postgres"),
			Password: secret(), AdminPassword: secret()},
	}, nil
}

func (s *Sandbox) up(ctx context.Context, o Options) error {
	if err := os.MkdirAll(s.UserHome, 0o755); err != nil {
		return fmt.Errorf("make sandbox folder: %w", err)
	}
	if err := s.save(); err != nil { // first, so that Down and Sweep know what may be there
		return err
	}
	steps := []func(context.Context, Options) error{
		s.startPostgres, s.mountShare, s.makeHome, s.writeCommands, s.startServer, s.join, s.writeInventory,
	}
	for _, step := range steps {
		if err := step(ctx, o); err != nil {
			return err
		}
		if err := s.save(); err != nil {
			return err
		}
	}
	return nil
}

// Load finds the sandbox that lies in dir.
func Load(dir string) (*Sandbox, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("resolve sandbox folder: %w", err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "sandbox.json"))
	if err != nil {
		return nil, fmt.Errorf("load sandbox: %w", err)
	}
	s := new(Sandbox)
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("load sandbox %s: %w", dir, err)
	}
	return s, nil
}

func (s *Sandbox) save() error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("save sandbox: %w", err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "sandbox.json"), data, 0o600); err != nil {
		return fmt.Errorf("save sandbox: %w", err)
	}
	return nil
}

func secret() string {
	b := make([]byte, 12)
	rand.Read(b)
	return "Pw-" + hex.EncodeToString(b)
}
