package convert

import (
	"bytes"
	"fmt"
	"slices"
)

// jsonDepth is how deep documents may nest; PostgreSQL refuses what exceeds
// max_stack_depth, which at its default of 2 MB is about three times as deep.
const jsonDepth = 2000

// jsonSize bounds a string and a document as jsonb's headers do (28 bits).
const jsonSize = 1<<28 - 1

// Normalizer brings JSON into the form in which PostgreSQL prints jsonb: keys
// sorted by length and then by bytes, of equal keys the last one, ", " and ": "
// as separators, numbers as numeric prints them, strings with as few escapes as
// possible. It reuses its buffers; it is not safe for concurrent use.
type Normalizer struct {
	src     []byte
	at      int
	out     []byte
	keys    []byte // decoded keys of the open objects
	members []member
	fault   *Fault
}

// member is one pair of an open object: where its text lies in out, and its
// decoded key in keys.
type member struct{ from, to, key, keyEnd int }

// Append appends the normal form of a document to dst. On a fault dst comes
// back as it was.
func (n *Normalizer) Append(dst, src []byte) ([]byte, *Fault) {
	if fault := characters(src); fault != nil {
		return dst, fault
	}
	if len(bytes.TrimSpace(src)) == 0 {
		return dst, &Fault{Reason: "empty text where JSON should be", Fix: "set NULL or a JSON document"}
	}
	if len(src) > jsonSize {
		return dst, &Fault{Reason: "JSON document of more than 255 MB", Fix: "shorten the document"}
	}
	n.src, n.at, n.out, n.keys, n.members, n.fault = src, 0, dst, n.keys[:0], n.members[:0], nil
	n.space()
	ok := n.value(0)
	if n.space(); ok && n.at < len(src) {
		ok = n.fail("something after the end of the document")
	}
	out := n.out
	n.src, n.out = nil, nil
	if !ok {
		return dst, n.fault
	}
	return out, nil
}

// fail keeps the first reason.
func (n *Normalizer) fail(reason string) bool {
	if n.fault == nil {
		n.fault = &Fault{Reason: fmt.Sprintf("invalid JSON: %s at byte %d", reason, n.at), Fix: "repair the document or set NULL"}
	}
	return false
}

func (n *Normalizer) space() {
	for n.at < len(n.src) {
		switch n.src[n.at] {
		case ' ', '\t', '\n', '\r':
			n.at++
		default:
			return
		}
	}
}

// peek is the next byte, 0 at the end.
func (n *Normalizer) peek() byte {
	if n.at < len(n.src) {
		return n.src[n.at]
	}
	return 0
}

func (n *Normalizer) value(depth int) bool {
	if depth > jsonDepth {
		return n.fail(fmt.Sprintf("nested deeper than %d levels", jsonDepth))
	}
	switch c := n.peek(); {
	case c == '{':
		return n.object(depth)
	case c == '[':
		if !n.list(']', "missing comma or bracket", n.value, depth) {
			return false
		}
		n.out = append(n.out, ']')
		return true
	case c == '"':
		return n.str(false)
	case c == '-' || c >= '0' && c <= '9':
		return n.number()
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if bytes.HasPrefix(n.src[n.at:], []byte(word)) {
			n.at += len(word)
			n.out = append(n.out, word...)
			return true
		}
	}
	for _, word := range [...]string{"NaN", "Infinity"} {
		if bytes.HasPrefix(n.src[n.at:], []byte(word)) {
			return n.fail(word + ", which JSON does not have,")
		}
	}
	if n.at >= len(n.src) {
		return n.fail("unexpected end")
	}
	return n.fail("unexpected character")
}

// list reads items up to end.
func (n *Normalizer) list(end byte, missing string, item func(depth int) bool, depth int) bool {
	n.out = append(n.out, n.src[n.at])
	n.at++
	for first := true; ; first = false {
		n.space()
		if first && n.peek() == end {
			break
		}
		if !item(depth + 1) {
			return false
		}
		n.space()
		if n.peek() == end {
			break
		}
		if n.peek() != ',' {
			return n.fail(missing)
		}
		n.at++
		n.out = append(n.out, ", "...)
	}
	n.at++
	return true
}

func (n *Normalizer) object(depth int) bool {
	start, base, keyBase := len(n.out), len(n.members), len(n.keys)
	if !n.list('}', "missing comma or brace", n.member, depth) {
		return false
	}
	n.arrange(start, n.members[base:])
	n.out = append(n.out, '}')
	n.members, n.keys = n.members[:base], n.keys[:keyBase]
	return true
}

func (n *Normalizer) member(depth int) bool {
	if n.peek() != '"' {
		return n.fail("missing key")
	}
	m := member{from: len(n.out), key: len(n.keys)}
	if !n.str(true) {
		return false
	}
	m.keyEnd = len(n.keys)
	n.space()
	if n.peek() != ':' {
		return n.fail("missing colon")
	}
	n.at++
	n.out = append(n.out, ": "...)
	n.space()
	if !n.value(depth) {
		return false
	}
	m.to = len(n.out)
	n.members = append(n.members, m)
	return true
}

// arrange puts the members of the object whose text starts at start in jsonb's
// order. Mostly they need it: Python writes keys as they come.
func (n *Normalizer) arrange(start int, list []member) {
	sorted := true
	for i := 1; i < len(list) && sorted; i++ {
		sorted = n.compare(list[i-1], list[i]) < 0
	}
	if sorted {
		return
	}
	slices.SortStableFunc(list, n.compare)
	end := len(n.out)
	for i, m := range list {
		if i+1 < len(list) && n.compare(m, list[i+1]) == 0 {
			continue // of equal keys the last one counts
		}
		if len(n.out) > end {
			n.out = append(n.out, ", "...)
		}
		n.out = append(n.out, n.out[m.from:m.to]...)
	}
	n.out = append(n.out[:start+1], n.out[end:]...)
}

// compare orders keys as jsonb does: by length in bytes, then by bytes.
func (n *Normalizer) compare(a, b member) int {
	if d := (a.keyEnd - a.key) - (b.keyEnd - b.key); d != 0 {
		return d
	}
	return bytes.Compare(n.keys[a.key:a.keyEnd], n.keys[b.key:b.keyEnd])
}
