package ansible

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"cidx-cluster/modules/internal/arguments"
	"cidx-cluster/modules/internal/problem"
)

// Arguments lists the arguments of m in the order of the struct.
func (m Module) Arguments() []arguments.Argument {
	return arguments.Of(m.args)
}

// Decode reads the JSON arguments of m. It returns a pointer to the argument
// struct, the mode, and the values given for secret arguments. Every mistake is
// listed in one error, which is problem.List.
func (m Module) Decode(input []byte) (args any, mode Mode, secrets []string, err error) {
	given, err := object(input)
	if err != nil {
		return nil, mode, nil, problem.Problem{
			What: "arguments are not a JSON object: " + err.Error(), At: m.Name,
			Fix: "call the module through Ansible, or with one JSON object on standard input",
		}
	}
	mode = modeOf(given)
	args, secrets, problems := arguments.Decode(m.Name, m.args, given)
	return args, mode, secrets, problems.Err()
}

// object reads one JSON object and nothing after it; its numbers stay as they are spelled.
func object(raw []byte) (o map[string]any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&o); err != nil {
		return nil, err
	}
	if o == nil {
		return nil, errors.New("null")
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("something follows the object")
	}
	return o, nil
}

// modeOf takes the internal arguments of Ansible and of the action plugin out of
// given; unknown ones are ignored, every release adds some.
func modeOf(given map[string]any) Mode {
	check, _ := arguments.Bool(given["_ansible_check_mode"])
	diff, _ := arguments.Bool(given["_ansible_diff"])
	for name := range given {
		if strings.HasPrefix(name, "_ansible_") || strings.HasPrefix(name, "_cidx_") {
			delete(given, name)
		}
	}
	return Mode{Check: check, Diff: diff}
}
