package arguments

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// set puts v, or the default, into field. It returns what is wrong, or "".
// Values of secret arguments are never repeated in the answer.
func (a Argument) set(field reflect.Value, v any, given bool) string {
	if !given {
		if a.Required {
			return "missing"
		}
		if a.Default == "" {
			return ""
		}
		v = a.Default
	}
	shown := "the value given"
	if !a.Secret {
		shown = show(v)
	}
	ok := a.assign(field, v)
	if !ok {
		return fmt.Sprintf("not a %s: %s", a.Type, shown)
	}
	if a.Required && field.Kind() == reflect.String && field.String() == "" {
		return "empty"
	}
	return a.restrict(field, shown)
}

// assign converts v as AnsibleModule would ("5432" is an integer, "yes" a
// boolean, "a,b" a list) and stores it.
func (a Argument) assign(field reflect.Value, v any) bool {
	switch field.Kind() {
	case reflect.String:
		s, ok := toString(v)
		field.SetString(s)
		return ok
	case reflect.Bool:
		b, ok := Bool(v)
		field.SetBool(b)
		return ok
	case reflect.Int:
		n, ok := toInt(v)
		field.SetInt(n)
		return ok
	case reflect.Float64:
		f, ok := toFloat(v)
		field.SetFloat(f)
		return ok
	case reflect.Slice:
		list, ok := toList(v)
		field.Set(reflect.ValueOf(list))
		return ok
	case reflect.Map:
		return toMap(field, v)
	}
	panic("argument " + a.Name + " has a type that Decode does not know")
}

// restrict checks paths and choices; shown is how messages show the value.
func (a Argument) restrict(field reflect.Value, shown string) string {
	if a.Type == "path" && field.String() != "" {
		path := ExpandHome(field.String())
		if !filepath.IsAbs(path) {
			return "not an absolute path: " + shown
		}
		field.SetString(filepath.Clean(path))
	}
	if len(a.Choices) == 0 {
		return ""
	}
	values := []string{}
	switch field.Kind() {
	case reflect.String:
		values = append(values, field.String())
	case reflect.Slice:
		values = field.Interface().([]string)
	}
	for _, v := range values {
		if v != "" && !slices.Contains(a.Choices, v) {
			return fmt.Sprintf("unknown choice %q", v)
		}
	}
	return ""
}

// ExpandHome is a path in which ~ stands for the home of who runs this.
func ExpandHome(path string) string {
	if path != "~" && !strings.HasPrefix(path, "~/") {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	return filepath.Join(home, path[1:])
}

func show(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%q", fmt.Sprint(v))
	}
	return string(text)
}

func toString(v any) (string, bool) {
	switch t := v.(type) {
	case string:
		return t, true
	case json.Number:
		return t.String(), true
	case bool:
		return strconv.FormatBool(t), true
	}
	return "", false
}

// Bool accepts what AnsibleModule accepts
// (ansible/module_utils/parsing/convert_bool.py).
func Bool(v any) (bool, bool) {
	if b, ok := v.(bool); ok {
		return b, true
	}
	s, ok := toString(v)
	if !ok {
		return false, false
	}
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "y", "yes", "on", "1", "true", "t", "1.0":
		return true, true
	case "n", "no", "off", "0", "false", "f", "0.0":
		return false, true
	}
	return false, false
}

// toInt accepts whole numbers, also as text.
func toInt(v any) (int64, bool) {
	s, ok := toString(v)
	if !ok {
		return 0, false
	}
	s = strings.TrimSpace(s)
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(s, 64) // "{{ 10 / 2 }}" is 5.0
	return int64(f), err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53
}

func toFloat(v any) (float64, bool) {
	s, ok := toString(v)
	if !ok {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}

func toList(v any) ([]string, bool) {
	items, ok := v.([]any)
	if !ok {
		s, ok := toString(v)
		if !ok || s == "" {
			return nil, ok
		}
		list := strings.Split(s, ",")
		for i := range list {
			list[i] = strings.TrimSpace(list[i])
		}
		return list, true
	}
	list := make([]string, 0, len(items))
	for _, item := range items {
		s, ok := toString(item)
		if !ok {
			return nil, false
		}
		list = append(list, s)
	}
	return list, true
}

func toMap(field reflect.Value, v any) bool {
	if s, ok := v.(string); ok {
		if s == "" {
			return true
		}
		decoder := json.NewDecoder(strings.NewReader(s))
		decoder.UseNumber()
		v = nil
		if decoder.Decode(&v) != nil {
			return false
		}
	}
	given, ok := v.(map[string]any)
	if !ok {
		return false
	}
	if field.Type() == reflect.TypeFor[map[string]any]() {
		field.Set(reflect.ValueOf(given))
		return true
	}
	out := map[string]string{}
	for name, item := range given {
		s, ok := toString(item)
		if !ok {
			return false
		}
		out[name] = s
	}
	field.Set(reflect.ValueOf(out))
	return true
}
