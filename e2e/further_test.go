package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"cidx-cluster/e2e/internal/ports"
)

// second is a further machine of the sandbox: a mount namespace in which another
// folder lies at the path of the home, as the paths of all nodes have to be the
// same. Its server has its own port; share, database, clock and host name are the
// first one's.
type second struct {
	name   string    // in the inventory
	keeper *exec.Cmd // holds the namespace
	port   int
	home   string // what lies at the home's path there, as this machine sees it
}

// further stages and asks a further machine, here node2:
//
//	node2 up [-installed] [-joined]   a server that ran before, one that cluster-join.sh was run on
//	node2 run COMMAND…                a shell command there
//	node2 api METHOD PATH [JSON]      as api, to its server; also node2 api tool NAME [JSON]
//
// "playbook -at" looks into its journal where the playbook has "-l node2".
//
// The script then has $HOME2: its home, as this machine sees it.
func further(name string) func(*stage, *call) error {
	return func(st *stage, c *call) error {
		two := st.others[name]
		switch {
		case len(c.args) > 0 && c.args[0] == "up":
			return st.bringUp(name, c)
		case two == nil:
			return fmt.Errorf("no %s yet", name)
		case len(c.args) > 1 && c.args[0] == "run":
			return st.runOn(two, c.out, strings.Join(c.args[1:], " "))
		case len(c.args) > 2 && c.args[0] == "api":
			url := st.box.URL
			defer func() { st.box.URL = url }()
			st.box.URL = fmt.Sprintf("http://127.0.0.1:%d", two.port)
			return st.api(&call{ts: c.ts, args: c.args[1:], out: c.out})
		}
		return fmt.Errorf("up, run or api, not %q", c.args)
	}
}

func (st *stage) bringUp(name string, c *call) error {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	installed := flags.Bool("installed", false, "")
	joined := flags.Bool("joined", false, "")
	if err := flags.Parse(c.args[1:]); err != nil {
		return err
	}
	free, err := ports.Free(1)
	if err != nil {
		return err
	}
	dir := filepath.Join(st.box.Dir, "of-"+name)
	two := &second{name: name, port: free[0], home: filepath.Join(dir, filepath.Base(st.box.Home))}
	if err := os.MkdirAll(two.home, 0o755); err != nil {
		return err
	}
	if err := two.hold(dir, st.box.UserHome); err != nil {
		return err
	}
	if st.others == nil {
		st.others = map[string]*second{}
	}
	st.others[name] = two
	c.ts.Setenv("HOME"+strings.TrimPrefix(name, "node"), two.home)
	if *installed {
		err = st.runOn(two, c.out, fmt.Sprintf("'%s/cidx-seed' home -home '%s' -repos 2 -rows 5 -random 7 -port %d && '%s' start", bin, st.box.Home, two.port, st.box.ServiceCommand("start")))
	} else {
		launch := fmt.Sprintf(`{"host": "127.0.0.1", "port": %d}`, two.port)
		err = os.WriteFile(filepath.Join(two.home, "launch.json"), []byte(launch+"\n"), 0o600)
	}
	if err == nil && *joined {
		if !*installed {
			err = st.runOn(two, c.out, fmt.Sprintf(`printf '{"server_dir": "%%s", "storage_mode": "sqlite"}\n' '%[1]s' > '%[1]s/config.json'`, st.box.Home))
		}
		if err == nil {
			err = st.runOn(two, c.out, fmt.Sprintf("CIDX_POSTGRES_DSN='%s' '%s/cidx-seed' join -home '%s' -share '%s' -node-id node-2", st.box.Postgres.DSN(), bin, st.box.Home, st.box.Share))
		}
	}
	return errors.Join(err, st.inventoryOf(two))
}

// hold starts a process in namespaces of its own, which it keeps. Other machines do
// not see its processes, and all of them end with it.
func (t *second) hold(dir, home string) error {
	script := fmt.Sprintf("mount --bind '%s' '%s' && echo ready && sleep 600 & wait", dir, home)
	t.keeper = exec.Command("unshare", "--mount", "--propagation", "slave", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script)
	t.keeper.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := t.keeper.StdoutPipe()
	if err != nil {
		return err
	}
	var words bytes.Buffer
	t.keeper.Stderr = &words
	if err := t.keeper.Start(); err != nil {
		return fmt.Errorf("stage %s: %w", t.name, err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("ready"))); err != nil {
		return fmt.Errorf("stage %s: %w: %s", t.name, err, words.String())
	}
	return nil
}

// enter is the command line that runs a program on that machine.
func (t *second) enter() []string {
	of := fmt.Sprintf("/proc/%d/ns/", t.keeper.Process.Pid)
	return []string{"nsenter", "--mount=" + of + "mnt", "--pid=" + of + "pid_for_children", "--"}
}

func (st *stage) runOn(t *second, out io.Writer, script string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	words := append(t.enter(), "sh", "-c", script)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), st.box.AnsibleEnv()...)
	var all bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&all, out), io.MultiWriter(&all, out)
	cmd.WaitDelay = time.Second // a server that was started inherits the pipe
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("%w: %s: %w", err, strings.TrimSpace(all.String()), errVerdict)
	}
	return nil
}

// inventoryOf makes a host of the inventory that machine: Ansible's local
// connection runs its shell there.
func (st *stage) inventoryOf(t *second) error {
	shell := filepath.Join(st.box.Dir, "bin", t.name+"-sh")
	text := "#!/bin/sh\nexec " + strings.Join(t.enter(), " ") + " /bin/sh \"$@\"\n"
	folder := filepath.Join(st.box.Inventory(), "host_vars")
	login, err := os.ReadFile(filepath.Join(folder, "node1", "vault.yml"))
	if err != nil {
		return err
	}
	main, err := os.ReadFile(filepath.Join(folder, "node1", "main.yml"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(folder, t.name), 0o755); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(shell, []byte(text), 0o755),
		os.WriteFile(filepath.Join(st.box.Inventory(), t.name+".yml"), []byte("cidx: {hosts: {"+t.name+": }}\n"), 0o644),
		os.WriteFile(filepath.Join(folder, t.name, "main.yml"), append(main, "ansible_shell_executable: "+shell+"\n"...), 0o644),
		os.WriteFile(filepath.Join(folder, t.name, "vault.yml"), login, 0o600))
}

// end lets the namespace go; what runs in it ends with the sandbox.
func (t *second) end() {
	_ = t.keeper.Process.Kill() // it may have ended
	_ = t.keeper.Wait()
}
