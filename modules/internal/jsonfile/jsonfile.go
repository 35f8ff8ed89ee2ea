// Package jsonfile reads and changes values inside JSON documents. gjson reads,
// sjson writes, and every other byte stays as it is: key order, indentation,
// escapes, unknown keys, a missing final newline.
//
// A document in which an object has the same key twice is refused: readers
// disagree about which of the two counts. Every result is parsed again by
// encoding/json and compared with the input; what differs beyond the edits is an
// error.
package jsonfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

var (
	// ErrInvalid is returned for input that is not JSON.
	ErrInvalid = errors.New("not valid JSON")
	// ErrDuplicate is returned where an object has a key twice.
	ErrDuplicate = errors.New("JSON with the same key twice in one object")
	// ErrNotObject is returned where an edit needs an object and finds another value.
	ErrNotObject = errors.New("not a JSON object")

	// errDiffers is a fault of sjson or of this package.
	errDiffers = errors.New("the edited document differs in more than the edited values")
)

// Edit sets one value. Path holds exact, unescaped keys from the outermost
// object inwards; missing objects, and null where an object is needed, are made
// on the way. Value is anything that encoding/json takes; json.RawMessage is
// written as it is.
type Edit struct {
	Path  []string
	Value any
}

// Set returns doc with edits applied in order. Values that are already equal
// keep their spelling; doc itself is never modified.
func Set(doc []byte, edits ...Edit) ([]byte, error) {
	want, err := parse(doc)
	if err != nil {
		return nil, err
	}
	// sjson drops white space around the document where it adds a key.
	body := bytes.TrimSpace(doc)
	head, tail, _ := bytes.Cut(doc, body)
	for _, e := range edits {
		if body, err = set(body, want, e); err != nil {
			return nil, fmt.Errorf("set %q: %w", e.Path, err)
		}
	}
	out := bytes.Join([][]byte{head, body, tail}, nil)
	switch got, err := parse(out); {
	case err != nil:
		return nil, fmt.Errorf("parse the result: %w", err)
	case !reflect.DeepEqual(want, got):
		return nil, errDiffers
	}
	return out, nil
}

// set applies an edit to a document and to its values.
func set(doc []byte, values map[string]any, e Edit) ([]byte, error) {
	text, err := encode(e.Value)
	if err != nil {
		return nil, err
	}
	value, err := decode(text)
	if err != nil {
		return nil, err
	}
	last := len(e.Path) - 1
	for _, key := range e.Path[:last] {
		inner, ok := values[key].(map[string]any)
		if !ok && values[key] != nil {
			return nil, fmt.Errorf("%q: %w", key, ErrNotObject)
		}
		if !ok {
			inner = map[string]any{}
			values[key] = inner
		}
		values = inner
	}
	if old, ok := values[e.Path[last]]; ok && reflect.DeepEqual(old, value) {
		return doc, nil
	}
	values[e.Path[last]] = value
	// The colon has sjson take digits for a key.
	return sjson.SetRawBytes(doc, ":"+strings.Join(escaped(e.Path), ".:"), text)
}

func encode(value any) ([]byte, error) {
	switch v := value.(type) {
	case json.RawMessage:
		return v, nil
	case string:
		if !utf8.ValidString(v) {
			return nil, fmt.Errorf("encode %q: not valid UTF-8", v)
		}
	}
	var b bytes.Buffer
	to := json.NewEncoder(&b)
	to.SetEscapeHTML(false)
	err := to.Encode(value)
	return bytes.TrimSpace(b.Bytes()), err
}

// Get returns the value at path. Exists() of the result is false where there is
// none.
func Get(doc []byte, path ...string) gjson.Result {
	if !json.Valid(doc) {
		return gjson.Result{}
	}
	return gjson.GetBytes(doc, strings.Join(escaped(path), "."))
}

func escaped(path []string) []string {
	var keys []string
	for _, key := range path {
		keys = append(keys, gjson.Escape(key))
	}
	return keys
}

// Check refuses what is not one JSON value, or has a key twice in an object.
func Check(doc []byte) error {
	if !json.Valid(doc) {
		return fmt.Errorf("%w: %s", ErrInvalid, fault(doc))
	}
	return unique(gjson.ParseBytes(doc))
}

func unique(value gjson.Result) error {
	if !value.IsObject() && !value.IsArray() {
		return nil
	}
	var err error
	seen := map[string]bool{}
	value.ForEach(func(key, inner gjson.Result) bool {
		if value.IsObject() && seen[key.Str] {
			err = fmt.Errorf("%w: %q", ErrDuplicate, key.Str)
			return false
		}
		seen[key.Str] = true
		err = unique(inner)
		return err == nil
	})
	return err
}

// fault says where a document is wrong: encoding/json counts bytes, an editor
// shows lines.
func fault(doc []byte) string {
	var value json.RawMessage
	err := json.Unmarshal(doc, &value)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return "malformed document"
	}
	before := doc
	if int(syntax.Offset) < len(doc) || !strings.HasSuffix(syntax.Error(), "end of JSON input") {
		before = doc[:max(syntax.Offset-1, 0)] // Offset counts the byte that is wrong
	}
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("line %d, column %d: %v", line, column, syntax)
}

// parse decodes one object without doubtful keys.
func parse(doc []byte) (map[string]any, error) {
	if err := Check(doc); err != nil {
		return nil, err
	}
	value, err := decode(doc)
	object, ok := value.(map[string]any)
	if err == nil && !ok {
		err = ErrNotObject
	}
	return object, err
}

// decode reads one JSON value; numbers keep their spelling.
func decode(doc []byte) (any, error) {
	if !json.Valid(doc) {
		return nil, ErrInvalid
	}
	var value any
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	return value, d.Decode(&value)
}
