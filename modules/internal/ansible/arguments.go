package ansible

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sort"
	"strings"

	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/secret"
)

// Argument is one field of an argument struct, described by its tags:
//
//	arg:"name"         the argument's name; fields without it are ignored
//	kind:"path"        a string that is a path: ~ is expanded, must be absolute
//	required:"true"
//	default:"text"     in the spelling an operator would use
//	choices:"a,b"
//	secret:"true"      masked everywhere
//	doc:"sentence"     ansible-doc markup
//
// Fields are string, bool, int, float64, []string, map[string]string or
// map[string]any. Embedded structs are flattened.
type Argument struct {
	Name     string
	Type     string // Ansible's name: str, path, bool, int, float, list, dict
	Required bool
	Default  string
	Choices  []string
	Secret   bool
	Doc      string
	index    []int
}

// Arguments lists the arguments of m in the order of the struct.
func (m Module) Arguments() []Argument {
	list := argumentsOf(m.args, nil)
	for i := range list {
		list[i].Doc = cmp.Or(list[i].Doc, m.Doc.Arguments[list[i].Name])
	}
	return list
}

func argumentsOf(t reflect.Type, index []int) []Argument {
	var list []Argument
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(index), i)
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			list = append(list, argumentsOf(f.Type, at)...)
			continue
		}
		name, ok := f.Tag.Lookup("arg")
		if !ok {
			continue
		}
		a := Argument{
			Name: name, Type: typeName(f), index: at,
			Required: f.Tag.Get("required") == "true",
			Default:  f.Tag.Get("default"),
			Secret:   f.Tag.Get("secret") == "true",
			Doc:      f.Tag.Get("doc"),
		}
		if c := f.Tag.Get("choices"); c != "" {
			a.Choices = strings.Split(c, ",")
		}
		list = append(list, a)
	}
	return list
}

func typeName(f reflect.StructField) string {
	if kind := f.Tag.Get("kind"); kind != "" {
		return kind
	}
	switch f.Type.Kind() {
	case reflect.Bool:
		return "bool"
	case reflect.Int:
		return "int"
	case reflect.Float64:
		return "float"
	case reflect.Slice:
		return "list"
	case reflect.Map:
		return "dict"
	}
	return "str"
}

// Decode reads the JSON arguments of m. It returns a pointer to the argument
// struct, the mode, and the values given for secret arguments. Every mistake is
// listed in one error, which is problem.List.
func (m Module) Decode(input []byte) (args any, mode Mode, secrets []string, err error) {
	given := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(input))
	decoder.UseNumber()
	if err := decodeOne(decoder, &given); err != nil {
		return nil, mode, nil, problem.Problem{What: "arguments are not a JSON object: " + err.Error(), At: m.Doc.Name, Fix: "call the module through Ansible, or with one JSON object on standard input"}
	}
	mode = modeOf(given)
	list := m.Arguments()
	given = settled(given, list)
	value := reflect.New(m.args)
	var problems problem.List
	for _, a := range list {
		v, ok := given[a.Name]
		delete(given, a.Name)
		if a.Secret && ok && v != nil {
			secrets = append(secrets, a.hidden(fmt.Sprint(v))...)
		}
		if p := a.set(value.Elem().FieldByIndex(a.index), v, ok && v != nil); p != "" {
			problems = append(problems, problem.Problem{What: p, At: m.Doc.Name + ": " + a.Name, Fix: a.fix()})
		}
	}
	problems = append(problems, m.unknown(given, list)...)
	return value.Interface(), mode, secrets, problems.Err()
}

// settled gives arguments that are missing the values that the argument "settings"
// has for them. What it has for other modules is dropped unseen.
func settled(given map[string]any, list []Argument) map[string]any {
	settings, ok := given["settings"].(map[string]any)
	if !ok {
		return given
	}
	delete(given, "settings")
	for _, a := range list {
		if _, ok := given[a.Name]; !ok && settings[a.Name] != nil {
			given[a.Name] = settings[a.Name]
		}
	}
	return given
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

// hidden is what must not be shown of a secret argument's value: all of it,
// and the passwords in it. Of a connection string without a password nothing
// needs hiding.
func (a Argument) hidden(value string) []string {
	passwords := secret.Passwords(value)
	if strings.HasSuffix(a.Name, "dsn") && len(passwords) == 0 {
		return nil
	}
	return append(passwords, value)
}

// modeOf takes the internal arguments of Ansible and of the action plugin out
// of given; unknown ones are
// ignored, every release adds some.
func modeOf(given map[string]any) Mode {
	check, _ := toBool(given["_ansible_check_mode"])
	diff, _ := toBool(given["_ansible_diff"])
	verbosity, _ := toInt(given["_ansible_verbosity"])
	for name := range given {
		if strings.HasPrefix(name, "_ansible_") || strings.HasPrefix(name, "_cidx_") {
			delete(given, name)
		}
	}
	return Mode{Check: check, Diff: diff, Verbosity: int(verbosity)}
}

// unknown reports the arguments that are left over, each with the nearest name.
func (m Module) unknown(left map[string]any, list []Argument) problem.List {
	var accepted []string
	for _, a := range list {
		accepted = append(accepted, a.Name)
	}
	var names []string
	for name := range left {
		names = append(names, name)
	}
	sort.Strings(names)
	var problems problem.List
	for _, name := range names {
		fix := "accepted are " + strings.Join(accepted, ", ")
		if near := nearest(name, accepted); near != "" {
			fix = fmt.Sprintf("did you mean %s? %s", near, fix)
		}
		problems = append(problems, problem.Problem{What: fmt.Sprintf("unknown argument %q", name), At: m.Doc.Name, Fix: fix})
	}
	return problems
}

// fix says what the argument takes.
func (a Argument) fix() string {
	switch {
	case len(a.Choices) > 0:
		return "give one of " + strings.Join(a.Choices, ", ")
	case a.Type == "path":
		return "give an absolute path"
	case a.Type == "bool":
		return "give true or false"
	case a.Type == "list":
		return "give a list of strings"
	case a.Type == "dict":
		return "give a mapping"
	case a.Type == "int" || a.Type == "float":
		return "give a number"
	}
	return "give a string"
}
