// Package jsonfile changes values inside JSON documents and leaves every other
// byte as it is: key order, indentation, escapes, unknown keys, a missing final
// newline.
//
// Positions come from gjson and the bytes are spliced here. sjson is not used:
// it edits only the first of duplicate keys (CIDX, being Python, reads the
// last), and it reads "*", "#", ":" and digits in a path as commands.
//
// Every result is parsed again by encoding/json and compared with the input:
// what differs beyond the edits is an error, and nothing is written.
package jsonfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidwall/gjson"
)

var (
	// ErrInvalid is returned for input that is not JSON.
	ErrInvalid = errors.New("not valid JSON")
	// ErrNotObject is returned where an edit needs an object and finds another value.
	ErrNotObject = errors.New("not a JSON object")
)

// Edit sets one value. Path holds exact, unescaped keys from the outermost
// object inwards; missing objects, and null where an object is needed, are made
// on the way. Value is nil, a string, a bool, an int, or json.RawMessage for
// anything else. All occurrences of a duplicated key are set, so that every
// reader sees the new value.
type Edit struct {
	Path  []string
	Value any
}

// Set returns doc with edits applied in order. Values that are already equal
// keep their spelling; doc itself is never modified.
func Set(doc []byte, edits ...Edit) ([]byte, error) {
	if err := check(doc); err != nil {
		return nil, err
	}
	out := bytes.Clone(doc)
	for _, e := range edits {
		if len(e.Path) == 0 {
			return nil, fmt.Errorf("set: empty path")
		}
		next, err := set(out, e)
		if err != nil {
			return nil, fmt.Errorf("set %q: %w", e.Path, err)
		}
		out = next
	}
	if err := onlyThese(doc, out, edits); err != nil {
		return nil, err
	}
	return out, nil
}

// Get returns the value at path, the last one where keys are duplicated (as
// CIDX's JSON reader does). Exists() of the result is false where there is none.
func Get(doc []byte, path ...string) gjson.Result {
	if check(doc) != nil {
		return gjson.Result{}
	}
	at := gjson.ParseBytes(doc)
	for _, key := range path {
		found := members(at, key)
		if len(found) == 0 {
			return gjson.Result{}
		}
		at = found[len(found)-1]
	}
	return at
}

// check refuses what is not one JSON object.
func check(doc []byte) error {
	if !gjson.ValidBytes(doc) || !json.Valid(doc) {
		return ErrInvalid
	}
	if !gjson.ParseBytes(doc).IsObject() {
		return ErrNotObject
	}
	return nil
}

// members returns the values of every member of object named key, in order.
// Their Index is a position in the document that object was parsed from.
func members(object gjson.Result, key string) []gjson.Result {
	var found []gjson.Result
	if !object.IsObject() {
		return nil
	}
	object.ForEach(func(k, v gjson.Result) bool {
		if k.Str == key {
			found = append(found, v)
		}
		return true
	})
	return found
}
