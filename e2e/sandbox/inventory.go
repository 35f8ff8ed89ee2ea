package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"

	"cidx-cluster/e2e/seed"
)

// writeInventory leaves what an operator would write by hand: node1 as this
// machine, node2 as a second one, secrets in a file of their own.
func (s *Sandbox) writeInventory(_ context.Context, _ Options) error {
	facts, err := s.ReadFacts()
	if err != nil {
		return err
	}
	local := map[string]any{"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
	inventory := map[string]any{"cidx": map[string]any{
		"hosts": map[string]any{"node1": nil, "node2": nil}, "vars": local,
	}}
	variables := map[string]any{
		"cidx_home":                   s.Home,
		"cidx_helper_dir":             s.HelperDir(),
		"cidx_report_dir":             s.Reports(),
		"cidx_service_manager":        "command",
		"cidx_service_start_command":  s.ServiceCommand("start"),
		"cidx_service_stop_command":   s.ServiceCommand("stop"),
		"cidx_service_status_command": s.ServiceCommand("status"),
	}
	if s.User != "" {
		variables["cidx_service_user"] = s.User
	}
	for path, file := range map[string]struct {
		data any
		mode os.FileMode
	}{
		"hosts.yml":                {inventory, 0o644},
		"host_vars/node1/main.yml": {variables, 0o644},
		"host_vars/node2/main.yml": {variables, 0o644},
	} {
		if err := writeYAML(filepath.Join(s.Inventory(), path), file.data, file.mode); err != nil {
			return err
		}
	}
	if err := s.WriteLogin(map[string]string{"cidx_api_key": facts.Admin.APIKey}); err != nil {
		return err
	}
	return s.writeEnv()
}

// WriteLogin replaces the secrets file of node1: how the playbooks log in to the server.
func (s *Sandbox) WriteLogin(variables map[string]string) error {
	return writeYAML(filepath.Join(s.Inventory(), "host_vars", "node1", "vault.yml"), variables, 0o600)
}

// ReadFacts reads what a test must know of the home.
func (s *Sandbox) ReadFacts() (seed.Facts, error) {
	var facts seed.Facts
	data, err := os.ReadFile(s.Facts())
	if err != nil {
		return facts, fmt.Errorf("read facts: %w", err)
	}
	if err := json.Unmarshal(data, &facts); err != nil {
		return facts, fmt.Errorf("read facts: %w", err)
	}
	return facts, nil
}

func writeYAML(path string, data any, mode os.FileMode) error {
	text, err := yaml.Marshal(data)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write inventory: %w", err)
	}
	if err := os.WriteFile(path, append([]byte("---\n"), text...), mode); err != nil {
		return fmt.Errorf("write inventory: %w", err)
	}
	return nil
}

// AnsibleEnv is the environment of an operator who works in this sandbox.
func (s *Sandbox) AnsibleEnv() []string {
	return []string{"HOME=" + s.UserHome, "ANSIBLE_INVENTORY=" + s.Inventory(), "ANSIBLE_NOCOLOR=1", "ANSIBLE_FORCE_COLOR=0",
		"ANSIBLE_LOCAL_TEMP=" + filepath.Join(s.Dir, "ansible"), "ANSIBLE_REMOTE_TEMP=" + filepath.Join(s.Dir, "ansible"),
		"PYTHONDONTWRITEBYTECODE=1", "CIDX_SANDBOX=" + s.Dir}
}

// writeEnv leaves the same for a shell: `. DIR/env.sh`, then ansible-playbook and psql work on the sandbox.
func (s *Sandbox) writeEnv() error {
	var text strings.Builder
	for _, pair := range append(s.AnsibleEnv(), s.Postgres.Env()...) {
		name, value, _ := strings.Cut(pair, "=")
		if name == "HOME" { // a shell keeps its own
			continue
		}
		fmt.Fprintf(&text, "export %s='%s'\n", name, value)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "env.sh"), []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("write env.sh: %w", err)
	}
	return nil
}
