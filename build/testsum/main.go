// Command testsum runs `go test` with the arguments it is given, shows what
// plain `go test` shows, and ends with one line that counts the tests:
//
//	412 passed, 0 failed, 1 skipped
//
// Skipped tests are listed with their reasons before that line. A package that
// does not build, or that dies outside a test, counts as one failed test.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sort"
	"strings"
)

func main() {
	cmd := exec.Command("go", append([]string{"test", "-json"}, os.Args[1:]...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		fatal(err)
	}
	if err := cmd.Start(); err != nil {
		fatal(err)
	}
	counted := newTally(os.Stdout)
	if err := counted.read(out); err != nil {
		fatal(err)
	}
	err = cmd.Wait()
	counted.report()
	if err != nil || counted.failed > 0 {
		os.Exit(1)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "testsum:", err)
	os.Exit(2)
}

// event is one line of `go test -json` (cmd/test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// tally counts tests and keeps the output of each until its verdict is known.
type tally struct {
	to                      io.Writer
	passed, failed, skipped int
	output                  map[string][]string // by package and test
	skips                   []string
	broken                  map[string]bool // package → one of its tests failed
}

func newTally(to io.Writer) *tally {
	return &tally{to: to, output: map[string][]string{}, broken: map[string]bool{}}
}

func (t *tally) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			t.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read test events: %w", err)
		}
	}
}

func (t *tally) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		fmt.Fprintf(t.to, "%s", line) // output of the go command itself
		return
	}
	if e.Test == "" {
		t.ofPackage(e)
		return
	}
	t.ofTest(e)
}

func (t *tally) ofPackage(e event) {
	switch e.Action {
	case "output":
		if shown(e.Output) {
			fmt.Fprint(t.to, e.Output)
		}
	case "build-output":
		fmt.Fprint(t.to, e.Output)
	case "fail":
		t.unfinished(e.Package)
		if !t.broken[e.Package] {
			t.failed++
		}
	}
}

// unfinished shows what tests had said that were running when their package
// died: of a time-out, that is all there is to go by.
func (t *tally) unfinished(pkg string) {
	for key, output := range t.output {
		if strings.HasPrefix(key, pkg+" ") {
			fmt.Fprint(t.to, strings.Join(output, ""))
			delete(t.output, key)
		}
	}
}

// shown tells whether plain go test would print this line of a package.
func shown(output string) bool {
	return output != "PASS\n" && !strings.Contains(output, "[no test files]")
}

func (t *tally) ofTest(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		t.output[key] = append(t.output[key], e.Output)
		return
	case "pass":
		t.passed++
	case "skip":
		t.skipped++
		t.skips = append(t.skips, key+": "+reason(t.output[key]))
	case "fail":
		t.failed++
		t.broken[e.Package] = true
		fmt.Fprint(t.to, strings.Join(t.output[key], ""))
	default:
		return
	}
	delete(t.output, key)
}

// reason is what the test said when it skipped itself, on one line.
func reason(output []string) string {
	var said []string
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "===") || strings.HasPrefix(line, "---") {
			continue
		}
		said = append(said, line)
	}
	return strings.Join(said, " ")
}

func (t *tally) report() {
	sort.Strings(t.skips)
	for _, skip := range t.skips {
		fmt.Fprintln(t.to, "skipped:", skip)
	}
	fmt.Fprintf(t.to, "%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
}
