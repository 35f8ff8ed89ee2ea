// Command become measures what one module call costs more where root starts it
// for a server of another user than where root serves itself: pairs of calls of
// the same module, one after the other, and the median of their differences.
//
//	go run ./bench/become [-calls 50] [-user nobody] [-helper build/cidx-helper]
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	calls := flag.Int("calls", 50, "pairs of calls")
	user := flag.String("user", "nobody", "`account` that the server belongs to")
	helper := flag.String("helper", "build/cidx-helper", "the helper")
	flag.Parse()
	if err := run(*calls, *user, *helper); err != nil {
		fmt.Println("NOT-MEASURED become.extra_ms " + err.Error())
	}
}

func run(calls int, user, helper string) error {
	if os.Geteuid() != 0 {
		return errors.New("becoming another user needs root")
	}
	dir, err := os.MkdirTemp("", "bench-become-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	program := filepath.Join(dir, "helper")
	if out, err := exec.Command("install", "-m", "711", helper, program).CombinedOutput(); err != nil {
		return fmt.Errorf("copy the helper: %s", out)
	}
	ours, theirs := filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
	for _, home := range []string{ours, theirs} {
		if err := os.Mkdir(home, 0o755); err != nil {
			return err
		}
	}
	if out, err := exec.Command("chown", user+":", theirs).CombinedOutput(); err != nil {
		return fmt.Errorf("give a home away: %s", out)
	}
	var extra []time.Duration
	for range calls {
		a, err := call(program, dir, ours)
		if err != nil {
			return err
		}
		b, err := call(program, dir, theirs)
		if err != nil {
			return err
		}
		extra = append(extra, b-a)
	}
	slices.Sort(extra)
	fmt.Printf("RESULT become.extra_ms %.1f\n", float64(extra[len(extra)/2].Microseconds())/1000)
	return nil
}

// call reports on a home, a rehearsal that reads next to nothing.
func call(program, dir, home string) (time.Duration, error) {
	cmd := exec.Command(program, "module", "cidx_report")
	cmd.Env = append(os.Environ(), "CIDX_HELPER_DIR="+filepath.Join(dir, "cache"))
	cmd.Stdin = strings.NewReader(`{"home": "` + home + `", "outcome": "rehearsed", "_ansible_check_mode": true}`)
	start := time.Now()
	out, err := cmd.Output()
	took := time.Since(start)
	if err != nil || !strings.Contains(string(out), `"failed":false`) {
		return 0, fmt.Errorf("the call failed: %v: %.300s", err, out)
	}
	return took, nil
}
