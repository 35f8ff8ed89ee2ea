package ansible

import (
	"reflect"

	"cidx-cluster/modules/internal/secret"
)

// invocation shows the arguments as they were understood, secrets masked.
func (m Module) invocation(args any) map[string]any {
	if args == nil {
		return nil
	}
	out := map[string]any{}
	value := reflect.ValueOf(args).Elem()
	for _, a := range m.Arguments() {
		v := value.FieldByIndex(a.index)
		switch {
		case a.Secret && !v.IsZero():
			out[a.Name] = secret.Mask
		default:
			out[a.Name] = v.Interface()
		}
	}
	return out
}
