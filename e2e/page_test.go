package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// page does what a section of docs/operator.md says, word for word:
//
//	page TITLE
//
// A block fenced as console holds commands ("$ …"), each with what it prints:
// these lines have to come in that order, a line "…" stands for any others. The
// operator stands in a checkout without an inventory of this machine's.
func (st *stage) page(c *call) error {
	title := strings.Join(c.args, " ")
	commands, err := sectionOf(filepath.Join(repo, "docs", "operator.md"), title)
	if err != nil {
		return err
	}
	if err := st.checkout(); err != nil {
		return err
	}
	for _, command := range commands {
		fmt.Fprintln(c.out, "$", command.text)
		printed, err := st.typed(c, command.text)
		fmt.Fprintln(c.out, printed)
		if err != nil {
			return fmt.Errorf("section %q: %s: %w", title, command.text, err)
		}
		if err := command.compare(printed); err != nil {
			return fmt.Errorf("section %q: %s: %w", title, command.text, err)
		}
	}
	return nil
}

// told is a command of the page, and what it is said to print.
type told struct {
	text   string
	prints []string
}

// sectionOf reads the console blocks below a heading, up to the next one.
func sectionOf(path, title string) ([]told, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var commands []told
	inside, console := false, false
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimRight(line, " \n")
		switch {
		case strings.HasPrefix(line, "#") && !console:
			inside = strings.TrimLeft(line, "# ") == title
		case strings.HasPrefix(line, "```"):
			console = inside && line == "```console"
		case !console:
		case strings.HasPrefix(line, "$ "):
			commands = append(commands, told{text: line[2:]})
		case len(commands) == 0:
			return nil, fmt.Errorf("%s: %q prints what no command says", path, title)
		default:
			last := &commands[len(commands)-1]
			last.prints = append(last.prints, line)
		}
	}
	if len(commands) == 0 {
		return nil, fmt.Errorf("%s: no commands in a section %q", path, title)
	}
	return commands, nil
}

// compare finds the lines of the page in what was printed.
func (t told) compare(printed string) error {
	lines := strings.Split(printed, "\n")
	gap := true
	for _, want := range t.prints {
		if want == "…" {
			gap = true
			continue
		}
		for len(lines) > 0 && gap && strings.TrimRight(lines[0], " ") != want {
			lines = lines[1:]
		}
		if len(lines) == 0 || strings.TrimRight(lines[0], " ") != want {
			return fmt.Errorf("does not print %q (in that place)", want)
		}
		lines, gap = lines[1:], false
	}
	return nil
}

// checkout is the repository as it was cloned, with room for inventories.
func (st *stage) checkout() error {
	folder := filepath.Join(st.work, "checkout")
	if _, err := os.Stat(folder); err == nil {
		return nil
	}
	entries, err := os.ReadDir(repo)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(folder, "inventory"), 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == "inventory" || e.Name() == "reports" || e.Name() == ".git" {
			continue
		}
		if err := os.Symlink(filepath.Join(repo, e.Name()), filepath.Join(folder, e.Name())); err != nil {
			return err
		}
	}
	st.folder = folder
	return os.CopyFS(filepath.Join(folder, "inventory", "example"), os.DirFS(filepath.Join(repo, "inventory", "example")))
}

// typed runs one command in a shell, where the operator stands.
func (st *stage) typed(c *call, text string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", text)
	cmd.Dir = st.folder
	for _, pair := range st.ansibleEnv(c) {
		if !strings.HasPrefix(pair, "ANSIBLE_INVENTORY=") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	if file := c.ts.Getenv("ANSIBLE_VAULT_PASSWORD_FILE"); file != "" { // in place of a person who types it
		cmd.Env = append(cmd.Env, "ANSIBLE_VAULT_PASSWORD_FILE="+file)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var all bytes.Buffer
	cmd.Stdout, cmd.Stderr = &all, &all
	err := cmd.Run()
	if ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
	}
	return all.String(), err
}
