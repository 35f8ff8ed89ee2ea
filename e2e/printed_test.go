package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// printed carries out what the last playbook told the operator to do, word for
// word, in a shell in the operator's folder:
//
//	printed resume       the line with ansible-playbook and cluster-migrate.yml
//	printed rollback     the line with ansible-playbook and cluster-rollback.yml
//	printed by-hand      the three commands after "Rollback (if needed):" or "To roll back:"
//
// The output is the new transcript when a playbook ran.
func (st *stage) printed(c *call) error {
	if len(c.args) != 1 {
		return errors.New("resume, rollback or by-hand")
	}
	commands, err := st.instructions(c.args[0])
	if err != nil {
		return err
	}
	for _, command := range commands {
		fmt.Fprintln(c.out, "$", command)
		if rest, ok := strings.CutPrefix(command, "ansible-playbook "); ok {
			again := *c
			again.args = strings.Fields(rest)
			if err := st.playbook(&again); err != nil {
				return err
			}
			continue
		}
		cmd := exec.Command("bash", "-c", command)
		cmd.Dir, cmd.Env = st.folder, st.ansibleEnv(c)
		cmd.Stdout, cmd.Stderr = c.out, c.ts.Stderr()
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(strings.Fields(command)[0]), err)
		}
	}
	return nil
}

var playbookLine = map[string]*regexp.Regexp{
	"resume":   regexp.MustCompile(`(?m)(ansible-playbook .*cluster[-_]migrate.* .*)$`),
	"rollback": regexp.MustCompile(`(?m)(ansible-playbook .*cluster[-_]rollback.* .*)$`),
}

var byHand = regexp.MustCompile(`(?m)^(Rollback \(if needed\)|To roll back):$`)

func (st *stage) instructions(which string) ([]string, error) {
	if line, ok := playbookLine[which]; ok {
		found := line.FindStringSubmatch(st.transcript)
		if found == nil {
			return nil, fmt.Errorf("the transcript tells no command to %s", which)
		}
		return []string{strings.TrimSpace(found[1])}, nil
	}
	after := byHand.FindStringIndex(st.transcript)
	if which != "by-hand" || after == nil {
		return nil, fmt.Errorf("the transcript tells no way %q", which)
	}
	var commands []string
	for _, line := range strings.Split(st.transcript[after[1]:], "\n")[1:] {
		line, indented := strings.CutPrefix(line, "  ")
		if !indented {
			break
		}
		commands = append(commands, line)
	}
	if len(commands) != 3 || strings.Count(strings.Join(commands, "\n"), " &&\n") != 2 {
		return nil, fmt.Errorf("by hand: %q, want stop, copy and start, joined by &&", commands)
	}
	return []string{strings.Join(commands, "\n")}, nil
}
