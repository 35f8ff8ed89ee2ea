package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/service"
)

func TestCommandsThatCannotBeRunAreFoundBeforeTheStop(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(a *service.Args)
		want  []string // none: it passes
	}{
		"as they are":                          {func(*service.Args) {}, nil},
		"a start program that is gone":         {func(a *service.Args) { a.StartCommand = "/opt/gone/start.sh --all" }, []string{"service_start_command: no such program, or not executable: /opt/gone/start.sh"}},
		"a file that is no program":            {func(a *service.Args) { a.StopCommand = "A=1 exec " + plain }, []string{"service_stop_command: no such program, or not executable: " + plain}},
		"both, told together":                  {func(a *service.Args) { a.StopCommand, a.StartCommand = "halt-cidx", "if" }, []string{"service_stop_command: no such", "service_start_command: the shell does not understand it"}},
		"a quote that is not closed":           {func(a *service.Args) { a.StartCommand = "echo 'x" }, []string{"service_start_command: the shell does not understand it"}},
		"what only the shell can tell":         {func(a *service.Args) { a.StartCommand = `"$HOME"/gone; ( gone )` }, nil},
		"words of the shell itself":            {func(a *service.Args) { a.StartCommand = "if true; then gone; fi" }, nil},
		"a program of the path, with settings": {func(a *service.Args) { a.StartCommand = "LC_ALL=C env true" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			a, control, flag := byCommands(t)
			a.Wanted = "stopped"
			c.spoil(&a.Args)
			control.Args = a.Args
			_, err := run(t.Context(), a, ansible.Mode{Check: true}, control)
			if !there(flag) {
				t.Error("the server was stopped")
			}
			if (err != nil) != (len(c.want) > 0) {
				t.Errorf("got %v", err)
			}
			for _, want := range c.want {
				if err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("want %q in %v", want, err)
				}
			}
		})
	}
}
