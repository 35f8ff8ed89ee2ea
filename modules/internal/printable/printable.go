// Package printable makes text of others safe to show: file names, link
// targets, rows, answers of servers, words of programs. Whatever could move a
// cursor, set a title, hide, reorder or break a line becomes an escape that can
// be read: control characters (C0, DEL, C1), format characters (bidirectional
// overrides and isolates, zero-width ones but the two that scripts need), line
// and paragraph separators, and bytes that are no UTF-8. Other text stays as it
// is, to the byte.
package printable

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line is s on one line: line breaks and tabs are escaped, too.
func Line(s string) string { return escaped(s, "") }

// Text is s with its line breaks and tabs. It is for messages that were composed
// of lines of ours; values of others have to go through Line before.
func Text(s string) string { return escaped(s, "\n\t") }

// hostile reports whether a rune must not reach a terminal.
func hostile(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r < 0xa0:
		return true
	case r < 0xa0, r == '\u00ad', r == '\u200c', r == '\u200d': // soft hyphen; joiners of Persian, Indic scripts and emoji
		return false
	}
	return unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Cs, unicode.Noncharacter_Code_Point)
}

func escaped(s, keep string) string {
	from := strings.IndexFunc(s, func(r rune) bool { return r == utf8.RuneError || hostile(r) && !strings.ContainsRune(keep, r) })
	if from < 0 {
		return s
	}
	var b strings.Builder
	b.WriteString(s[:from])
	for i := from; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case hostile(r) && !strings.ContainsRune(keep, r):
			b.WriteString(escape(r))
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

// escape spells a rune as Go and Python do.
func escape(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < 0x80:
		return fmt.Sprintf(`\x%02x`, r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

// JSON spells the hostile characters of a JSON document as escapes of JSON: a
// parser reads the same values, and a terminal shows them harmlessly. Line
// breaks between values stay.
func JSON(document []byte) []byte {
	if bytes.IndexFunc(document, spelled) < 0 {
		return document
	}
	var b bytes.Buffer
	for _, r := range string(document) {
		switch {
		case !spelled(r):
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
	}
	return b.Bytes()
}

// spelled: JSON itself forbids C0 within strings; between them it is white space.
func spelled(r rune) bool { return r >= 0x7f && hostile(r) }

// Each returns a copy of v (strings, lists, maps, structures) in which every
// string went through change, keys of maps too; names of fields do not.
func Each(v any, change func(string) string) any {
	if v == nil {
		return nil
	}
	return each(reflect.ValueOf(v), change).Interface()
}

func each(v reflect.Value, change func(string) string) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	switch v.Kind() {
	case reflect.String:
		out.SetString(change(v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(each(v.Elem(), change))
		}
	case reflect.Interface:
		if !v.IsNil() {
			out.Set(each(v.Elem(), change))
		}
	case reflect.Slice:
		if v.IsNil() || v.Type().Elem().Kind() == reflect.Uint8 {
			break
		}
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			out.Index(i).Set(each(v.Index(i), change))
		}
	case reflect.Map:
		if v.IsNil() {
			break
		}
		out.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
		for entries := v.MapRange(); entries.Next(); {
			out.SetMapIndex(each(entries.Key(), change), each(entries.Value(), change))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out.Field(i).Set(each(v.Field(i), change))
			}
		}
	}
	return out
}
