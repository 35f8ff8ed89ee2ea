// Package arguments decodes what a module is called with as strictly as
// AnsibleModule does: into a struct whose tags say what each field takes.
package arguments

import (
	"fmt"
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
	index    []int
}

// Of lists the arguments of a struct, in its order.
func Of(t reflect.Type) []Argument { return of(t, nil) }

func of(t reflect.Type, index []int) []Argument {
	var list []Argument
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(index), i)
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			list = append(list, of(f.Type, at)...)
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

// Decode reads the arguments that are given into a new struct of type t, and takes
// them out of given. args points to the struct; secrets are the values of secret
// arguments. Every mistake is a problem of the module.
func Decode(module string, t reflect.Type, given map[string]any) (args any, secrets []string, problems problem.List) {
	list := Of(t)
	settle(given, list)
	value := reflect.New(t)
	for _, a := range list {
		v, ok := given[a.Name]
		delete(given, a.Name)
		if a.Secret && ok && v != nil {
			secrets = append(secrets, a.hidden(fmt.Sprint(v))...)
		}
		if p := a.set(value.Elem().FieldByIndex(a.index), v, ok && v != nil); p != "" {
			problems = append(problems, problem.Problem{What: p, At: module + ": " + a.Name, Fix: a.fix()})
		}
	}
	return value.Interface(), secrets, append(problems, unknown(module, given, list)...)
}

// Shown are arguments as they were understood, secrets masked. args is what Decode
// has returned, or nil.
func Shown(args any) map[string]any {
	if args == nil {
		return nil
	}
	out := map[string]any{}
	value := reflect.ValueOf(args).Elem()
	for _, a := range Of(value.Type()) {
		v := value.FieldByIndex(a.index)
		if out[a.Name] = v.Interface(); a.Secret && !v.IsZero() {
			out[a.Name] = secret.Mask
		}
	}
	return out
}

// settle gives arguments that are missing the values that the argument "settings"
// has for them. What it has for other modules is dropped unseen.
func settle(given map[string]any, list []Argument) {
	settings, ok := given["settings"].(map[string]any)
	if !ok {
		return
	}
	delete(given, "settings")
	for _, a := range list {
		if _, ok := given[a.Name]; !ok && settings[a.Name] != nil {
			given[a.Name] = settings[a.Name]
		}
	}
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

// unknown reports the arguments that are left over, each with the nearest name.
func unknown(module string, left map[string]any, list []Argument) problem.List {
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
		problems = append(problems, problem.Problem{What: fmt.Sprintf("unknown argument %q", name), At: module, Fix: fix})
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
