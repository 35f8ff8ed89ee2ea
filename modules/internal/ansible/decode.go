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
	given := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(input))
	decoder.UseNumber()
	if err := decodeOne(decoder, &given); err != nil {
		return nil, mode, nil, problem.Problem{
			What: "arguments are not a JSON object: " + err.Error(), At: m.Name,
			Fix: "call the module through Ansible, or with one JSON object on standard input",
		}
	}
	mode = modeOf(given)
	args, secrets, problems := arguments.Decode(m.Name, m.args, given)
	return args, mode, secrets, problems.Err()
}

// decodeOne reads one JSON object and nothing after it.
func decodeOne(decoder *json.Decoder, into *map[string]any) error {
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if *into == nil {
		return errors.New("null")
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("something follows the object")
	}
	return nil
}

// modeOf takes the internal arguments of Ansible and of the action plugin out of
// given; unknown ones are ignored, every release adds some.
func modeOf(given map[string]any) Mode {
	check, _ := arguments.Bool(given["_ansible_check_mode"])
	diff, _ := arguments.Bool(given["_ansible_diff"])
	verbosity, _ := arguments.Int(given["_ansible_verbosity"])
	for name := range given {
		if strings.HasPrefix(name, "_ansible_") || strings.HasPrefix(name, "_cidx_") {
			delete(given, name)
		}
	}
	return Mode{Check: check, Diff: diff, Verbosity: int(verbosity)}
}
