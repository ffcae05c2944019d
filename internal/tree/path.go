package tree

import "strings"

// Limits of names and paths (docs/format.md section 12).
const (
	MaxName = 4_096
	MaxPath = 65_535
)

// ComparePaths returns -1, 0 or 1 as path a stands before, at or after b in path
// order: component by component, a directory before what it contains
// (docs/format.md section 8.1).
func ComparePaths(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if x, y := a[i], b[i]; x != y {
			switch {
			case x == '/':
				return -1
			case y == '/':
				return 1
			case x < y:
				return -1
			}
			return 1
		}
	}
	switch {
	case len(a) < len(b):
		return -1
	case len(a) > len(b):
		return 1
	}
	return 0
}

// Join returns the path of name in the directory dir.
func Join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// SplitPath returns the directory and the name of path. The directory of a path with one
// component is the top, "".
func SplitPath(path string) (dir, name string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}

// ValidName reports whether name may stand in a directory.
func ValidName(name string) bool {
	return name != "" && len(name) <= MaxName && name != "." && name != ".." &&
		strings.IndexByte(name, '/') < 0 && strings.IndexByte(name, 0) < 0
}

// ValidPath reports whether path is the top or joins valid names.
func ValidPath(path string) bool {
	if path == "" {
		return true
	}
	if len(path) > MaxPath {
		return false
	}
	for name := range strings.SplitSeq(path, "/") {
		if !ValidName(name) {
			return false
		}
	}
	return true
}

// sharedPrefix returns how many bytes a and b begin alike.
func sharedPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
