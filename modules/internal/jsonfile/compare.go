package jsonfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
)

// errDiffers is returned when a result is not what the edits ask for. It is a
// fault of this package; nothing has been written then.
var errDiffers = errors.New("the edited document differs in more than the edited values")

// onlyThese proves with another JSON reader that after is before with the edits
// applied, and nothing else.
func onlyThese(before, after []byte, edits []Edit) error {
	want, err := decode(before)
	if err != nil {
		return err
	}
	got, err := decode(after)
	if err != nil {
		return fmt.Errorf("parse the result: %w", err)
	}
	root, ok := want.(map[string]any)
	if !ok {
		return ErrNotObject
	}
	for _, e := range edits {
		if err := assign(root, e); err != nil {
			return err
		}
	}
	if !same(root, got) {
		return errDiffers
	}
	return nil
}

// assign is the edit on a decoded document.
func assign(object map[string]any, e Edit) error {
	last := len(e.Path) - 1
	for _, key := range e.Path[:last] {
		inner, ok := object[key].(map[string]any)
		if !ok {
			inner = map[string]any{}
			object[key] = inner
		}
		object = inner
	}
	text, err := render(e.Value, style{})
	if err != nil {
		return err
	}
	value, err := decode([]byte(text))
	object[e.Path[last]] = value
	return err
}

// decode reads one JSON value; numbers keep their spelling.
func decode(doc []byte) (any, error) {
	var value any
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, ErrInvalid
	}
	return value, nil
}

func same(a, b any) bool { return reflect.DeepEqual(a, b) }
