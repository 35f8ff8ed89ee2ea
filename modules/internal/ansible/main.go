package ansible

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Build is the helper's build id, set by build/helper.sh through the linker.
var Build = "unknown"

// Version of the collection (galaxy.yml), also set when the helper is built.
var Version = "unknown"

const usage = `usage: cidx-helper <command>
  module <module>            run a module in the foreground; JSON arguments on standard input
  job run <module>           start a module as a job that outlives its connection, or attach to it
  job follow <job> <offset>  wait for news of a job
  version                    the build id
Called as AnsiballZ_<module> or <module> with an arguments file, it is an Ansible module.`

// Main is the whole program: it dispatches on the name it was called by
// (Ansible's contract for binary modules) or on its first word, and returns
// the exit status. The only thing it ever writes to standard output is the
// answer; stray prints of any library go to standard error.
func Main(argv []string, modules []Module) int {
	out, err := guardStdout()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cidx-helper: "+err.Error())
		return 1
	}
	p := program{modules: modules, in: os.Stdin, out: out}
	if m, ok := p.byName(calledAs(argv[0])); ok {
		return p.native(m, argv[1:])
	}
	return p.command(argv[1:])
}

// guardStdout moves standard output away, so that only the answer reaches it.
func guardStdout() (*os.File, error) {
	fd, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("keep standard output: %w", err)
	}
	if err := unix.Dup3(2, 1, 0); err != nil {
		return nil, fmt.Errorf("guard standard output: %w", err)
	}
	os.Stdout = os.Stderr
	return os.NewFile(uintptr(fd), "answer"), nil
}

// calledAs is the module's name in argv[0]: Ansible copies a binary module to
// AnsiballZ_<name>.
func calledAs(path string) string {
	return strings.TrimPrefix(filepath.Base(path), "AnsiballZ_")
}

type program struct {
	modules []Module
	in      io.Reader
	out     *os.File
}

func (p program) byName(name string) (Module, bool) {
	for _, m := range p.modules {
		if m.Name == name {
			return m, true
		}
	}
	return Module{}, false
}

// command is what a call with words does. How many each has is a part of what it is called.
func (p program) command(words []string) int {
	verb, rest := "", words
	if len(words) > 0 {
		verb, rest = words[0], words[1:]
	}
	if verb == "job" && len(rest) > 0 {
		verb, rest = "job "+rest[0], rest[1:]
	}
	switch {
	case verb == "version" && len(rest) == 0:
		fmt.Fprintln(p.out, Build)
		return 0
	case verb == "job follow" && len(rest) == 2:
		return p.jobFollow(rest[0], rest[1])
	case verb == "job work" && len(rest) == 2:
		return p.with(rest[0], func(m Module) int { return p.jobWork(m, rest[1]) })
	}
	of := map[string]func(Module) int{"module": p.module, "job run": p.jobRun, "as": p.as, "errands": p.errands}
	if do := of[verb]; do != nil && len(rest) == 1 {
		return p.with(rest[0], do)
	}
	return p.refuse(usage)
}

// refuse explains a wrong call.
func (p program) refuse(text string) int {
	fmt.Fprintln(os.Stderr, text)
	return 2
}

// with does something with the module of that name.
func (p program) with(name string, do func(Module) int) int {
	if m, ok := p.byName(name); ok {
		return do(m)
	}
	var names []string
	for _, m := range p.modules {
		names = append(names, m.Name)
	}
	return p.refuse(fmt.Sprintf("cidx-helper: unknown module %q; known are %s", name, strings.Join(names, ", ")))
}

// write prints the answer, one line.
func (p program) write(raw []byte) int {
	if _, err := p.out.Write(append(raw, '\n')); err != nil {
		return 1
	}
	return 0
}
