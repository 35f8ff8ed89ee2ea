package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"cidx-cluster/e2e/sandbox"
)

// kills is what every series of killed calls of the helper has: a server that is
// stopped, and moments at random.
type kills struct {
	t      *testing.T
	st     *stage
	random *rand.Rand
	wanted int
}

// newKills begins a series whose moments are those of SEED in the environment,
// else new ones; stream keeps the moments of several series apart.
func newKills(t *testing.T, wanted int, stream uint64) *kills {
	t.Helper()
	seed := numberOf(t, "SEED", int(time.Now().UnixNano()%1e9))
	t.Logf("SEED=%d", seed)
	return &kills{t: t, st: &stage{work: t.TempDir()}, random: rand.New(rand.NewPCG(uint64(seed), stream)), wanted: wanted}
}

func numberOf(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s: not a number above 0: %q", name, text)
	}
	return n
}

func (k *kills) do(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// options are those of a sandbox without a running server; its seed is the default.
func (k *kills) options() sandbox.Options {
	k.t.Helper()
	dir, err := sandbox.New()
	k.do(err)
	o := sandbox.Defaults()
	o.Dir, o.Bin, o.Cache, o.Owner, o.NoServer = dir, bin, cache, os.Getpid(), true
	return o
}

// up stages the sandbox, until the end of the test.
func (k *kills) up(ctx context.Context, o sandbox.Options) {
	k.t.Helper()
	k.t.Cleanup(k.st.down)
	var err error
	k.st.box, err = sandbox.Up(ctx, o)
	k.do(err)
}

// command prepares the helper, without Ansible around it.
func (k *kills) command(ctx context.Context, module string, arguments map[string]any) *exec.Cmd {
	k.t.Helper()
	all := map[string]any{"home": k.st.box.Home, "share": k.st.box.Share}
	maps.Copy(all, arguments)
	input, err := json.Marshal(all)
	k.do(err)
	cmd := exec.CommandContext(ctx, filepath.Join(repo, "build", "cidx-helper"), "module", module)
	cmd.Env = append(os.Environ(), k.st.box.AnsibleEnv()...)
	cmd.Stdin = bytes.NewReader(input)
	return cmd
}

// call calls a module undisturbed and says how long it took.
func (k *kills) call(limit time.Duration, module string, arguments map[string]any) (time.Duration, error) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), limit)
	defer cancel()
	begun := time.Now()
	out, err := k.command(ctx, module, arguments).Output()
	var reply struct {
		Failed bool
		Msg    string
	}
	if decodeErr := json.Unmarshal(out, &reply); decodeErr != nil || reply.Failed {
		return 0, fmt.Errorf("%v %v %s", err, decodeErr, reply.Msg)
	}
	return time.Since(begun), nil
}

// kill calls a module until after, then ends it with signal 9; killed is false
// if it was faster. One that fails by itself fails the test: what names it.
func (k *kills) kill(what string, after time.Duration, module string, arguments map[string]any) (killed bool) {
	k.t.Helper()
	cmd := k.command(k.t.Context(), module, arguments)
	k.do(cmd.Start())
	time.Sleep(after)                       // the moment is what is random
	_ = cmd.Process.Signal(syscall.SIGKILL) // it may be gone
	_ = cmd.Wait()                          // its state tells
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return true
	}
	if cmd.ProcessState.ExitCode() != 0 {
		k.t.Fatalf("%s failed by itself: %v", what, cmd.ProcessState)
	}
	return false
}

// judged asks cidx-judge about the home; any difference is an error. Where root
// is nobody on the share, the service's user compares.
func (k *kills) judged(limit time.Duration, env []string, verb string, flags ...string) error {
	ctx, cancel := context.WithTimeout(k.t.Context(), limit)
	defer cancel()
	words := append([]string{filepath.Join(bin, "cidx-judge"), verb, "-home", k.st.box.Home}, flags...)
	if user := k.st.box.User; user != "" && verb == "equal" {
		words = append([]string{"setpriv", "--reuid", user, "--regid", user, "--clear-groups"}, words...)
	}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("judge %s: %w\n%s", verb, err, out)
	}
	return nil
}
