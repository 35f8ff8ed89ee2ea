// Package peers keeps what a benchmark must say of a contender that was not measured: a peer that is not installed, or
// that failed, has a reason and never a ratio.
package peers

import (
	"fmt"
	"os/exec"
	"strings"
)

// Unmeasured are the runs without a measurement, in the order in which they were missed.
type Unmeasured struct{ list []run }

type run struct{ peer, at, why string }

// Add notes that a peer has no measurement at a step or size ("" for all of them), and says so.
func (u *Unmeasured) Add(peer, at string, why error) {
	text := strings.Join(strings.Fields(why.Error()), " ")
	for _, r := range u.list {
		if r == (run{peer, at, text}) {
			return
		}
	}
	u.list = append(u.list, run{peer, at, text})
	fmt.Println(line(peer, at) + ": not measured: " + text)
}

// Why answers the first reason why a peer has no measurement at a step or size; "" if there is none.
func (u *Unmeasured) Why(peer, at string) string {
	for _, r := range u.list {
		if r.peer == peer && (r.at == at || r.at == "") {
			return r.why
		}
	}
	return ""
}

// Notes is a list in Markdown of all of them, after an empty line; "" if everything was measured.
func (u *Unmeasured) Notes() string {
	if len(u.list) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\nNot measured:\n\n")
	for _, r := range u.list {
		fmt.Fprintf(&b, "* %s: %s\n", line(r.peer, r.at), r.why)
	}
	return b.String()
}

func line(peer, at string) string {
	if at == "" {
		return peer
	}
	return peer + " at " + at
}

// Result is a line for programs: "RESULT name 1.23", or "NOT-MEASURED name reason" where a peer has no measurement.
func (u *Unmeasured) Result(name, peer, at string, ratio float64, measured bool) string {
	if measured {
		return fmt.Sprintf("RESULT %s %.2f", name, ratio)
	}
	why := u.Why(peer, at)
	if why == "" {
		why = peer + " was not asked for"
	}
	return "NOT-MEASURED " + name + " " + why
}

// Installed is nil if a program is found, else says from where it is installed.
func Installed(program, from string) error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("%s is not installed: build/setup.sh bench installs %s", program, from)
	}
	return nil
}
