package e2e

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// cmpshape FILE SHAPE holds a transcript to its shape: every line of SHAPE is
// an expression, and lines of FILE match them in that order; other lines may
// stand between.
func (st *stage) cmpshape(c *call) error {
	if len(c.args) != 2 {
		return errors.New("a file and a shape")
	}
	return matchShape(c.ts.ReadFile(c.args[0]), c.ts.ReadFile(c.args[1]))
}

// narrow holds every line of the last transcript to 80 columns, as far as the
// words are ours: paths and addresses are the operator's, and so is a command.
func (st *stage) narrow(c *call) error {
	for line := range strings.Lines(st.transcript) {
		if columns := ours(line); columns > 80 && !strings.HasPrefix(line, "[WARNING]:") {
			return fmt.Errorf("%d columns: %s: %w", columns, line, errVerdict)
		}
	}
	return nil
}

// ours are the columns of a line that it has by our words.
func ours(line string) int {
	columns := len(line) - len(strings.TrimLeft(line, " "))
	for _, word := range strings.Fields(line) {
		if !strings.Contains(word, "/") {
			columns += utf8.RuneCountInString(word) + 1
		}
	}
	return columns - 1
}

func matchShape(text, shape string) error {
	lines := strings.Split(text, "\n")
	for _, expression := range strings.Split(strings.TrimRight(shape, "\n"), "\n") {
		if strings.TrimSpace(expression) == "" {
			continue
		}
		want, err := regexp.Compile(expression)
		if err != nil {
			return fmt.Errorf("shape: %w", err)
		}
		at := 0
		for at < len(lines) && !want.MatchString(lines[at]) {
			at++
		}
		if at == len(lines) {
			return fmt.Errorf("no line like %q after what came before: %w", expression, errVerdict)
		}
		lines = lines[at+1:]
	}
	return nil
}
