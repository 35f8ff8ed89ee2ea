package e2e

import (
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

	"github.com/rogpeppe/go-internal/testscript"

	"cidx-cluster/e2e/sandbox"
	"cidx-cluster/e2e/seed"
)

// stage is the sandbox of one script and what happened in it.
type stage struct {
	work       string // the script's own folder
	folder     string // where the operator stands: the repository's root, or see installed and stand
	box        *sandbox.Sandbox
	others     map[string]*second // further machines, see further
	transcript string             // all that the last playbook printed, in order
	child      *indexChild        // nil: none runs
}

type stageKey struct{}

// call is one line of a script.
type call struct {
	ts     *testscript.TestScript
	negate bool
	args   []string
	out    io.Writer
}

// errVerdict is the expected kind of failure of a command: "!" accepts it and
// nothing else, so that a broken test cannot pass as a refusal.
var errVerdict = errors.New("verdict")

func commands(methods map[string]func(*stage, *call) error) map[string]func(*testscript.TestScript, bool, []string) {
	cmds := map[string]func(*testscript.TestScript, bool, []string){}
	for name, method := range methods {
		cmds[name] = func(ts *testscript.TestScript, negate bool, args []string) {
			st := ts.Value(stageKey{}).(*stage)
			if st.box == nil && name != "sandbox" {
				ts.Fatalf("%s: no sandbox yet", name)
			}
			err := method(st, &call{ts: ts, negate: negate, args: args, out: ts.Stdout()})
			switch {
			case err == nil && negate:
				ts.Fatalf("%s: succeeded, which it must not", name)
			case err != nil && (!negate || !errors.Is(err, errVerdict)):
				ts.Fatalf("%s: %v", name, err)
			}
		}
	}
	return cmds
}

// sandboxUp stages a machine: sandbox [flags of cidx-sandbox up]. The script
// then has $CIDX_HOME, $SHARE, $SANDBOX, $HOME and $INVENTORY.
func (st *stage) sandboxUp(c *call) error {
	dir, err := sandbox.New()
	if err != nil {
		return err
	}
	o := sandbox.Defaults()
	o.Dir, o.Bin, o.Cache, o.Owner = dir, bin, cache, os.Getpid()
	o.Seed.Repos, o.Seed.Rows = 4, 15
	flags := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	flags.SetOutput(c.out)
	sandbox.Flags(flags, &o)
	if err := flags.Parse(c.args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	st.box, err = sandbox.Up(ctx, o)
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"CIDX_HOME": st.box.Home, "SHARE": st.box.Share, "SANDBOX": st.box.Dir, "HOME": st.box.UserHome,
		"INVENTORY": st.box.Inventory(), "URL": st.box.URL,
		"NODE1": filepath.Join(st.box.Inventory(), "host_vars", "node1", "main.yml"),
	} {
		c.ts.Setenv(name, value)
	}
	return nil
}

// installed builds the collection and installs it in a folder of its own, where
// the operator stands from then on: no checkout, no ansible.cfg.
func (st *stage) installed(c *call) error {
	folder := filepath.Join(st.work, "elsewhere")
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, args := range [][]string{
		{"collection", "build", repo},
		{"collection", "install", "--offline", "-p", "collections", "cidx-cluster-1.0.0.tar.gz"},
	} {
		cmd := exec.CommandContext(ctx, "ansible-galaxy", args...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = folder, c.out, c.ts.Stderr()
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("ansible-galaxy collection %s: %w", args[1], err)
		}
	}
	st.folder = folder
	c.ts.Setenv("ANSIBLE_COLLECTIONS_PATH", filepath.Join(folder, "collections"))
	return nil
}

// stand lets the operator stand in another folder: stand $WORK.
func (st *stage) stand(c *call) error {
	if len(c.args) != 1 {
		return errors.New("a folder")
	}
	st.folder = c.args[0]
	return nil
}

// down ends the script's sandbox, also after a failure. KEEP=1 in the
// environment leaves it for a look.
func (st *stage) down() {
	if st.box == nil {
		return
	}
	for _, other := range st.others {
		defer other.end()
	}
	if st.child != nil {
		_ = st.child.end() // the script has failed already
	}
	if os.Getenv("KEEP") != "" {
		fmt.Fprintln(os.Stderr, "e2e: kept", st.box.Dir)
		st.box.Owner = sandbox.Process{}
		return
	}
	if err := st.box.Down(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
	}
}

// server controls the stand-in itself: server start, stop, kill (-9), healthy, or status
// ("! server status": it must be stopped).
func (st *stage) server(c *call) error {
	verb := strings.Join(c.args, " ")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	switch verb {
	case "start", "stop", "kill":
		return st.box.Server(ctx, verb)
	case "healthy":
		return st.box.Healthy(ctx, 20*time.Second)
	case "status":
		if !st.box.Running(ctx) {
			return fmt.Errorf("the server does not run: %w", errVerdict)
		}
		return nil
	}
	return fmt.Errorf("start, stop, kill, healthy or status, not %q", verb)
}

// join does what cluster-join.sh does, for a sandbox made with -no-join.
func (st *stage) join(*call) error { return st.box.Join() }

// fault breaks the stand-in from its next start in cluster mode on: fault
// never-healthy; fault none heals it.
func (st *stage) fault(c *call) error {
	if len(c.args) == 1 && c.args[0] == "none" {
		return os.Remove(st.box.FaultsFile())
	}
	return os.WriteFile(st.box.FaultsFile(), []byte(strings.Join(c.args, " ")+"\n"), 0o644)
}

// postgres stops the database in order, or starts it again.
func (st *stage) postgres(c *call) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	switch strings.Join(c.args, " ") {
	case "stop":
		return st.box.Postgres.Stop(ctx)
	case "start":
		return st.box.Postgres.Start(ctx)
	}
	return fmt.Errorf("stop or start, not %q", c.args)
}

// shareBytes is ample room.
const shareBytes = 1 << 30

// share changes the mount: unmount, mount (an empty one), squash (an empty one
// on which root is nobody), hang and answer (of a squashed one), readonly,
// writable, fill (to the last byte) or drain.
func (st *stage) share(c *call) error {
	if len(c.args) == 0 {
		return errors.New("what shall be done with the share?")
	}
	switch c.args[0] {
	case "unmount":
		return st.box.Unmount()
	case "mount":
		return st.box.Mount(shareBytes, 1<<20)
	case "squash":
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return st.box.Export(ctx, "-squash")
	case "hang":
		return st.box.Signal(syscall.SIGSTOP)
	case "answer":
		return st.box.Signal(syscall.SIGCONT)
	case "readonly":
		return st.box.Remount(true, shareBytes)
	case "writable":
		return st.box.Remount(false, shareBytes)
	case "fill":
		return st.fill()
	case "drain":
		return os.Remove(st.filler())
	}
	return fmt.Errorf("unmount, mount, squash, hang, answer, readonly, writable, fill or drain, not %q", c.args[0])
}

func (st *stage) filler() string { return filepath.Join(st.box.Share, "filler") }

// fill writes into one file until nothing fits any more.
func (st *stage) fill() error {
	f, err := os.Create(st.filler())
	if err != nil {
		return err
	}
	for size := 1 << 20; size > 0; {
		if _, err = f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(fmt.Errorf("fill share: want it full, have %w", err), f.Close())
	}
	return f.Close()
}

// login chooses how the playbooks log in: login key (the default), mfa (user,
// password and second factor), password, or none.
func (st *stage) login(c *call) error {
	facts, err := st.box.ReadFacts()
	if err != nil {
		return err
	}
	variables := map[string]map[string]string{
		"key":      {"cidx_api_key": facts.Admin.APIKey},
		"password": {"cidx_api_user": facts.Admin.User, "cidx_api_password": facts.Admin.Password},
		"mfa":      {"cidx_api_user": facts.MFA.User, "cidx_api_password": facts.MFA.Password, "cidx_api_totp_secret": facts.MFA.TOTPSecret},
		"none":     {},
	}[strings.Join(c.args, " ")]
	if variables == nil {
		return fmt.Errorf("key, mfa, password or none, not %q", c.args)
	}
	return st.box.WriteLogin(variables)
}

// seedrows leaves in PostgreSQL the rows of a first cluster start, and with
// "seedrows keys" also the keys that such a start invents.
func (st *stage) seedrows(c *call) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if strings.Join(c.args, " ") == "keys" {
		return seed.FirstStart(ctx, st.box.Postgres.DSN(), st.box.Home)
	}
	return seed.FirstStartRows(ctx, st.box.Postgres.DSN(), st.box.Home)
}
