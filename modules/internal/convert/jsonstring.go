package convert

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// str copies a string to out in its shortest spelling and, for a key, decoded
// to keys.
func (n *Normalizer) str(key bool) bool {
	n.at++
	from := n.at
	for n.at < len(n.src) {
		switch c := n.src[n.at]; {
		case c == '"':
			body := n.src[from:n.at]
			n.out = append(append(append(n.out, '"'), body...), '"')
			if key {
				n.keys = append(n.keys, body...)
			}
			n.at++
			return true
		case c == '\\':
			return n.escaped(from, key)
		case c < ' ':
			return n.fail("control character inside a string")
		}
		n.at++
	}
	return n.fail("string without an end")
}

// escaped is str from the first backslash on.
func (n *Normalizer) escaped(from int, key bool) bool {
	n.out = append(append(n.out, '"'), n.src[from:n.at]...)
	if key {
		n.keys = append(n.keys, n.src[from:n.at]...)
	}
	for n.at < len(n.src) {
		c := n.src[n.at]
		switch {
		case c == '"':
			n.at++
			n.out = append(n.out, '"')
			return true
		case c < ' ':
			return n.fail("control character inside a string")
		case c != '\\':
			n.out = append(n.out, c)
			if key {
				n.keys = append(n.keys, c)
			}
			n.at++
		default:
			r, ok := n.escape()
			if !ok {
				return false
			}
			n.out = appendEscaped(n.out, r)
			if key {
				n.keys = utf8.AppendRune(n.keys, r)
			}
		}
	}
	return n.fail("string without an end")
}

// escape decodes the escape sequence at the backslash.
func (n *Normalizer) escape() (rune, bool) {
	if n.at+1 >= len(n.src) {
		return 0, n.fail("string without an end")
	}
	const plain, means = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	c := n.src[n.at+1]
	if i := bytes.IndexByte([]byte(plain), c); i >= 0 {
		n.at += 2
		return rune(means[i]), true
	}
	if c != 'u' {
		return 0, n.fail("unknown escape")
	}
	start := n.at
	r, ok := n.unit()
	reason := `\u without four hexadecimal digits`
	switch {
	case ok && r == 0:
		reason = `\u0000, which PostgreSQL cannot store,`
	case ok && !utf16.IsSurrogate(r):
		return r, true
	case ok:
		low, ok := n.unit()
		if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
			return pair, true
		}
		reason = "half of a surrogate pair"
	}
	n.at = start
	return 0, n.fail(reason)
}

// unit reads \uXXXX.
func (n *Normalizer) unit() (rune, bool) {
	if n.at+6 > len(n.src) || n.src[n.at] != '\\' || n.src[n.at+1] != 'u' {
		return 0, false
	}
	r, err := strconv.ParseUint(string(n.src[n.at+2:n.at+6]), 16, 32)
	if err != nil {
		return 0, false
	}
	n.at += 6
	return rune(r), true
}

// appendEscaped spells a character as PostgreSQL's escape_json does.
func appendEscaped(dst []byte, r rune) []byte {
	if i := strings.IndexRune("\"\\\b\f\n\r\t", r); i >= 0 {
		return append(dst, '\\', `"\bfnrt`[i])
	}
	if r < ' ' {
		return fmt.Appendf(dst, `\u%04x`, r)
	}
	return utf8.AppendRune(dst, r)
}
