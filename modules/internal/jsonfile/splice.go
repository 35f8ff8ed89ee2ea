package jsonfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// span is a part of a document that an edit replaces.
type span struct {
	from, to int
	text     string
}

// set applies one edit.
func set(doc []byte, e Edit) ([]byte, error) {
	style := styleOf(doc)
	spans, err := locate(doc, gjson.ParseBytes(doc), e.Path, e.Value, style)
	if err != nil {
		return nil, err
	}
	// Back to front, so that positions stay valid.
	for i := len(spans) - 1; i >= 0; i-- {
		s := spans[i]
		doc = bytes.Join([][]byte{doc[:s.from], []byte(s.text), doc[s.to:]}, nil)
	}
	return doc, nil
}

// locate finds what to replace for the value at path below object.
func locate(doc []byte, object gjson.Result, path []string, value any, style style) ([]span, error) {
	found := members(object, path[0])
	if len(found) == 0 {
		s, err := insertion(doc, object, path, value, style)
		return []span{s}, err
	}
	var spans []span
	for i, v := range found {
		if len(path) > 1 && v.IsObject() {
			inner, err := locate(doc, v, path[1:], value, style)
			if err != nil {
				return nil, err
			}
			spans = append(spans, inner...)
			continue
		}
		if len(path) > 1 && v.Type != gjson.Null {
			if i < len(found)-1 {
				continue // overridden by a later duplicate; no reader descends here
			}
			return nil, fmt.Errorf("%q: %w", path[0], ErrNotObject)
		}
		text, err := render(nest(path[1:], value), style.deeper(memberIndent(doc, v)))
		if err != nil {
			return nil, err
		}
		if !equalJSON(v.Raw, text) {
			spans = append(spans, span{v.Index, v.Index + len(v.Raw), text})
		}
	}
	return spans, nil
}

// insertion adds a member at the end of object, spelt like the one before it.
func insertion(doc []byte, object gjson.Result, path []string, value any, style style) (span, error) {
	var lastKey, lastValue gjson.Result
	object.ForEach(func(k, v gjson.Result) bool {
		lastKey, lastValue = k, v
		return true
	})
	key, err := encodeString(path[0], style.ascii)
	if err != nil {
		return span{}, err
	}
	if !lastValue.Exists() {
		text, err := render(nest(path, value), style.deeper(memberIndent(doc, object)))
		// The outermost Raw reaches to the end of the document.
		raw := strings.TrimRight(object.Raw, " \t\r\n")
		return span{object.Index, object.Index + len(raw), text}, err
	}
	gap := spaceBefore(doc, lastKey.Index)
	colon := string(doc[lastKey.Index+len(lastKey.Raw) : lastValue.Index])
	if !strings.Contains(gap, "\n") && gap == "" && style.comma == ", " {
		gap = " " // the only member of {"a": 1} has no gap to copy
	}
	indent := "\x00"
	if i := strings.LastIndexByte(gap, '\n'); i >= 0 {
		indent = gap[i+1:]
	}
	text, err := render(nest(path[1:], value), style.deeper(indent))
	at := lastValue.Index + len(lastValue.Raw)
	return span{at, at, "," + gap + key + colon + text}, err
}

// spaceBefore returns the white space that ends at position at.
func spaceBefore(doc []byte, at int) string {
	from := at
	for from > 0 && strings.IndexByte(" \t\r\n", doc[from-1]) >= 0 {
		from--
	}
	return string(doc[from:at])
}

// memberIndent returns the indentation of the line on which the member with
// value v starts, or "\x00" where members do not stand on lines of their own.
func memberIndent(doc []byte, v gjson.Result) string {
	line := doc[:v.Index]
	i := bytes.LastIndexByte(line, '\n')
	if i < 0 && v.Index > 0 && strings.TrimSpace(string(line)) != "" {
		return "\x00"
	}
	line = line[i+1:]
	rest := bytes.TrimLeft(line, " \t")
	return string(line[:len(line)-len(rest)])
}

// equalJSON reports whether two JSON texts are the same value.
func equalJSON(a, b string) bool {
	x, errX := decode([]byte(a))
	y, errY := decode([]byte(b))
	return errX == nil && errY == nil && same(x, y)
}

// nest wraps value in one object per key of path.
func nest(path []string, value any) any {
	for i := len(path) - 1; i >= 0; i-- {
		value = member{path[i], value}
	}
	return value
}

// member is an object with one key.
type member struct {
	key   string
	value any
}

// render spells a value.
func render(value any, s style) (string, error) {
	switch v := value.(type) {
	case nil:
		return "null", nil
	case string:
		return encodeString(v, s.ascii)
	case json.RawMessage:
		if !json.Valid(v) || !gjson.ValidBytes(v) {
			return "", ErrInvalid
		}
		return string(v), nil
	case member:
		return renderMember(v, s)
	case bool, int:
		raw, err := json.Marshal(v)
		return string(raw), err
	}
	return "", fmt.Errorf("values of type %T are not supported", value)
}

func renderMember(m member, s style) (string, error) {
	key, err := encodeString(m.key, s.ascii)
	if err != nil {
		return "", err
	}
	inner := s
	inner.indent += s.unit
	text, err := render(m.value, inner)
	if err != nil {
		return "", err
	}
	if s.unit == "" {
		return "{" + key + s.colon + text + "}", nil
	}
	return "{" + s.newline + inner.indent + key + s.colon + text + s.newline + s.indent + "}", nil
}

// encodeString spells a string as Python's json.dumps does: only quotes,
// backslashes and control characters are escaped, and with ascii everything
// above U+007E as \uXXXX.
func encodeString(s string, ascii bool) (string, error) {
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("encode %q: not valid UTF-8", s)
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f, r > 0x7f && r <= 0xffff && ascii:
			fmt.Fprintf(&b, `\u%04x`, r)
		case r > 0xffff && ascii:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String(), nil
}
