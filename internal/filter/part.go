package filter

import (
	"fmt"
	"path/filepath"
	"strings"
)

// part is one name of a pattern, or its end.
type part struct {
	kind    partKind
	pattern int // number of the pattern it belongs to
	text    string
}

type partKind uint8

const (
	literal  partKind = iota // text itself
	prefix                   // text*
	suffix                   // *text
	glob                     // text as filepath.Match has it
	anyDepth                 // **
	accept                   // the end: the pattern matched
)

func compilePart(name string) (part, error) {
	if _, err := filepath.Match(name, "x"); err != nil {
		return part{}, fmt.Errorf("%w: %q", ErrPattern, name)
	}
	const special = `*?[\`
	switch {
	case name == "**":
		return part{kind: anyDepth}, nil
	case !strings.ContainsAny(name, special):
		return part{kind: literal, text: name}, nil
	case name[0] == '*' && !strings.ContainsAny(name[1:], special):
		return part{kind: suffix, text: name[1:]}, nil
	case name[len(name)-1] == '*' && !strings.ContainsAny(name[:len(name)-1], special):
		return part{kind: prefix, text: name[:len(name)-1]}, nil
	}
	return part{kind: glob, text: name}, nil
}

func (p *part) matches(name string) bool {
	switch p.kind {
	case literal:
		return p.text == name
	case prefix:
		return strings.HasPrefix(name, p.text)
	case suffix:
		return strings.HasSuffix(name, p.text)
	case glob:
		return matchGlob(p.text, name)
	}
	return false
}
