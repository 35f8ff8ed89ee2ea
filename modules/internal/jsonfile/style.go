package jsonfile

import (
	"strings"

	"github.com/tidwall/gjson"
)

// style is how a document is written; additions follow it.
type style struct {
	unit    string // one level of indentation; "" for a document on one line
	indent  string // of the line being written
	newline string
	comma   string // ", " or ","
	colon   string // ": " or ":"
	ascii   bool   // non-ASCII characters are escaped
}

// styleOf reads the style off the outermost object.
func styleOf(doc []byte) style {
	s := style{newline: "\n", comma: ", ", colon: ": ", ascii: isASCII(doc)}
	root := gjson.ParseBytes(doc)
	n := 0
	root.ForEach(func(k, v gjson.Result) bool {
		gap := spaceBefore(doc, k.Index)
		if n == 0 {
			s.colon = strings.TrimRight(string(doc[k.Index+len(k.Raw):v.Index]), "\r\n")
		}
		if i := strings.LastIndexByte(gap, '\n'); i >= 0 {
			s.unit = gap[i+1:]
			if i > 0 && gap[i-1] == '\r' {
				s.newline = "\r\n"
			}
		} else if n == 1 {
			s.comma = "," + gap
		}
		n++
		return n < 2
	})
	if s.comma != ", " {
		s.comma = ","
	}
	if n == 1 && s.colon == ":" {
		s.comma = ","
	}
	return s
}

// deeper returns the style for the members of an object that stands on a line
// with the given indentation; "\x00" means that it does not have its own line.
func (s style) deeper(indent string) style {
	if indent == "\x00" {
		s.unit = ""
	} else {
		s.indent = indent
	}
	return s
}

func isASCII(doc []byte) bool {
	for _, c := range doc {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
