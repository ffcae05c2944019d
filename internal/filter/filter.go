package filter

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// ErrPattern says that a pattern is malformed.
var ErrPattern = errors.New("malformed pattern")

// maxParts bounds the parts of all patterns of a list.
const maxParts = 1 << 20

// List is a compiled list of patterns. The nil List matches nothing.
type List struct {
	fold     bool
	negated  bool // at least one pattern is
	patterns []pattern

	// All patterns' parts one behind the other; each pattern ends with one of
	// kind accept. A position is an index into parts.
	parts []part

	// Where relative patterns start, tried at each name of a path: those that
	// begin with a plain name by that name, those that begin with *text by its
	// last byte, and the others.
	literals map[string][]int
	suffixes *[256][]int
	starts   []int

	top State
}

type pattern struct {
	negated  bool
	absolute bool
}

// State is what the list knows of a folder: how far each pattern has come along
// its path.
type State struct {
	// positions that a name in the folder may go on from, besides the starts of
	// relative patterns; rising.
	active []int
	// patterns that the folder or one above it matched, rising. Kept only while
	// it can matter.
	matched []int
}

// Options say how a list is compiled.
type Options struct {
	// FoldCase matches without regard to upper and lower case.
	FoldCase bool
}

// Compile compiles patterns. Empty ones are left out. The error satisfies
// errors.Is(err, ErrPattern).
func Compile(patterns []string, o Options) (*List, error) {
	l := &List{fold: o.FoldCase, literals: map[string][]int{}}
	var top []int
	for _, s := range patterns {
		if s == "" {
			continue
		}
		start, err := l.add(s)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", s, err)
		}
		p := l.patterns[len(l.patterns)-1]
		switch {
		case p.absolute:
			top = append(top, start)
		case l.parts[start].kind == literal:
			l.literals[l.parts[start].text] = append(l.literals[l.parts[start].text], start)
		case l.parts[start].kind == suffix && l.parts[start].text != "":
			l.addSuffix(start)
		default:
			l.starts = append(l.starts, start)
		}
		l.negated = l.negated || p.negated
		if len(l.parts) > maxParts {
			return nil, fmt.Errorf("%w: more than %d parts", ErrPattern, maxParts)
		}
	}
	l.top = l.settle(top, nil)
	return l, nil
}

// add appends one pattern and returns its first position.
func (l *List) add(s string) (int, error) {
	var p pattern
	if s[0] == '!' {
		p.negated = true
		if s = s[1:]; s == "" {
			return 0, fmt.Errorf("%w: empty", ErrPattern)
		}
	}
	if l.fold {
		s = lower(s)
	}
	s = path.Clean(s)
	p.absolute = s[0] == '/'
	names := strings.FieldsFunc(s, func(r rune) bool { return r == '/' })
	if !p.absolute {
		// Relative patterns start anywhere as it is.
		for len(names) > 1 && names[0] == "**" {
			names = names[1:]
		}
		if names[0] == "**" {
			names[0] = "*"
		}
	}
	number, start := len(l.patterns), len(l.parts)
	for _, name := range names {
		q, err := compilePart(name)
		if err != nil {
			return 0, err
		}
		q.pattern = number
		l.parts = append(l.parts, q)
	}
	l.parts = append(l.parts, part{kind: accept, pattern: number})
	l.patterns = append(l.patterns, p)
	return start, nil
}

func (l *List) addSuffix(start int) {
	if l.suffixes == nil {
		l.suffixes = new([256][]int)
	}
	text := l.parts[start].text
	last := text[len(text)-1]
	l.suffixes[last] = append(l.suffixes[last], start)
}

// Empty reports whether the list has no pattern.
func (l *List) Empty() bool { return l == nil || len(l.patterns) == 0 }

// Top returns the state of the topmost folder, "/".
func (l *List) Top() State {
	if l == nil {
		return State{}
	}
	return l.top
}

// Enter returns the state of the folder name in the folder of s.
func (l *List) Enter(s State, name string) State {
	if l.Empty() {
		return State{}
	}
	return l.settle(l.step(s, name), s.matched)
}

// Match reports whether name in the folder of s matches, and whether something
// below it might, if it is a folder.
func (l *List) Match(s State, name string) (matched, below bool) {
	if l.Empty() {
		return false, false
	}
	next := l.step(s, name)
	if len(next) == 0 && len(s.matched) == 0 {
		return false, l.relative()
	}
	return l.verdict(l.settle(next, s.matched))
}

// MatchPath does what Match does for a whole path, which is taken to begin at the
// top whether or not it begins with a slash.
func (l *List) MatchPath(p string) (matched, below bool) {
	if l.Empty() {
		return false, false
	}
	s := l.top
	for name := range strings.SplitSeq(p, "/") {
		if name != "" {
			s = l.Enter(s, name)
		}
	}
	return l.verdict(s)
}

// step returns the positions that name leads to, before closure, in no order.
func (l *List) step(s State, name string) []int {
	if l.fold {
		name = lower(name)
	}
	var next []int
	if len(l.literals) > 0 {
		for _, p := range l.literals[name] {
			next = append(next, p+1)
		}
	}
	if l.suffixes != nil && name != "" {
		for _, p := range l.suffixes[name[len(name)-1]] {
			if l.parts[p].matches(name) {
				next = append(next, p+1)
			}
		}
	}
	for _, p := range l.starts {
		if l.parts[p].matches(name) {
			next = append(next, p+1)
		}
	}
	for _, p := range s.active {
		switch q := &l.parts[p]; {
		case q.kind == anyDepth:
			next = append(next, p)
		case q.matches(name):
			next = append(next, p+1)
		}
	}
	return next
}

// settle makes a state of positions: it adds those that a ** leads to without
// consuming a name, and takes out the patterns that matched.
func (l *List) settle(positions, matched []int) State {
	if len(positions) == 0 {
		return State{matched: matched}
	}
	s := State{matched: slices.Clip(matched)}
	for _, p := range positions {
		for ; ; p++ {
			if l.parts[p].kind == accept {
				s.matched = append(s.matched, l.parts[p].pattern)
				break
			}
			s.active = append(s.active, p)
			if l.parts[p].kind != anyDepth {
				break
			}
		}
	}
	s.active = sortedSet(s.active)
	s.matched = sortedSet(s.matched)
	return s
}

// verdict folds the patterns in their order.
func (l *List) verdict(s State) (matched, below bool) {
	if !l.negated {
		return len(s.matched) > 0, len(s.matched) > 0 || len(s.active) > 0 || l.relative()
	}
	for i, p := range l.patterns {
		_, m := slices.BinarySearch(s.matched, i)
		switch {
		case p.negated && m:
			matched, below = false, false
		case !p.negated:
			matched = matched || m
			below = below || m || !p.absolute || l.reaches(s.active, i)
		}
	}
	return matched, below
}

// reaches reports whether one of the positions belongs to pattern i.
func (l *List) reaches(positions []int, i int) bool {
	_, found := slices.BinarySearchFunc(positions, i, func(p, i int) int { return l.parts[p].pattern - i })
	return found
}

// relative reports whether a pattern may match at any depth.
func (l *List) relative() bool {
	if !l.negated {
		return len(l.starts) > 0 || len(l.literals) > 0 || l.suffixes != nil
	}
	return slices.ContainsFunc(l.patterns, func(p pattern) bool { return !p.absolute && !p.negated })
}

func sortedSet(s []int) []int {
	slices.Sort(s)
	return slices.Compact(s)
}

// lower folds the case of s; names that are not UTF-8 keep their other bytes.
func lower(s string) string {
	if utf8.ValidString(s) {
		return strings.ToLower(s)
	}
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// matchGlob is filepath.Match for a pattern that compilePart has tried already.
func matchGlob(pattern, name string) bool {
	ok, _ := filepath.Match(pattern, name)
	return ok
}
