// Package repath moves absolute paths from one prefix to another, as text: it
// never touches a file system.
//
// A path matches a prefix only at a component boundary (/golden-repos does not
// match /golden-repos-old). What follows the prefix keeps every byte. A value
// that lies below a destination already is left alone, so a second pass changes
// nothing.
package repath

import (
	"net/url"
	"strings"
)

// Rewrite returns value with the longest matching prefix of moves, a map of
// absolute path to absolute path, replaced. Values that are not absolute paths,
// lie below none of the prefixes, or leave them through ".." come back as they
// are.
func Rewrite(value string, moves map[string]string) string {
	if !strings.HasPrefix(value, "/") || strings.IndexByte(value, 0) >= 0 {
		return value
	}
	to, rest, ok := match(value, moves, plain)
	if !ok {
		return value
	}
	return to + rest
}

// Within reports whether path is dir or lies in it. Both are clean.
func Within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// RewriteURL is Rewrite for a value that may also be a file URL, as git spells
// it: file:///path or file://localhost/path. Every other scheme, and the
// host:path form of SSH, comes back as it is.
func RewriteURL(value string, moves map[string]string) string {
	const scheme = "file://"
	if len(value) < len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return Rewrite(value, moves)
	}
	slash := strings.IndexByte(value[len(scheme):], '/')
	if slash < 0 {
		return value
	}
	head, path := value[:len(scheme)+slash], value[len(scheme)+slash:]
	if host := head[len(scheme):]; host != "" && !strings.EqualFold(host, "localhost") {
		return value
	}
	to, rest, ok := match(path, moves, unescape)
	if !ok {
		return value
	}
	return head + escape(to) + rest
}

// match finds the longest prefix of path among moves and returns its
// destination and what follows, which is empty or starts with a slash.
func match(path string, moves map[string]string, decode func(string) string) (to, rest string, ok bool) {
	longest, moved := -1, -1
	for from, destination := range moves {
		if r, n, inside := below(path, from, decode); inside && n > longest {
			to, rest, longest = strings.TrimRight(destination, "/"), r, n
		}
		if _, n, inside := below(path, destination, decode); inside && n > moved {
			moved = n
		}
	}
	if longest <= 0 || moved >= longest {
		return "", "", false
	}
	return to, rest, true
}

// below reports whether path lies at or below prefix, with what follows the
// prefix and the number of components that agreed. Empty and "." components
// count for nothing, as for the kernel.
func below(path, prefix string, decode func(string) string) (rest string, n int, ok bool) {
	rest = path
	for want, left := next(prefix); want != ""; want, left = next(left) {
		got, tail := next(rest)
		if decode(got) != want {
			return "", 0, false
		}
		rest, n = tail, n+1
	}
	return rest, n, !escapes(rest, decode)
}

// next returns the first component of path and what follows it; "" at the end.
func next(path string) (component, rest string) {
	for path != "" {
		path = strings.TrimLeft(path, "/")
		component, rest = path, ""
		if i := strings.IndexByte(path, '/'); i >= 0 {
			component, rest = path[:i], path[i:]
		}
		if component != "." {
			return component, rest
		}
		path = rest
	}
	return "", ""
}

// escapes reports whether rest climbs above its start.
func escapes(rest string, decode func(string) string) bool {
	depth := 0
	for component, left := next(rest); component != ""; component, left = next(left) {
		if decode(component) != ".." {
			depth++
			continue
		}
		if depth--; depth < 0 {
			return true
		}
	}
	return false
}

func plain(s string) string { return s }

func unescape(s string) string {
	if d, err := url.PathUnescape(s); err == nil {
		return d
	}
	return s
}

// escape spells a path for a URL.
func escape(path string) string { return (&url.URL{Path: path}).EscapedPath() }
