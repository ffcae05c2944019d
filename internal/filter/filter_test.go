package filter

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	tests := []struct {
		pattern, path string
		want          bool
	}{
		{"foo", "/foo", true},
		{"foo", "/dir/foo", true},
		{"foo", "/dir/foo/file", true},
		{"foo", "/dir/foobar", false},
		{"foo", "/barfoo", false},
		{"foo/", "/dir/foo", true},
		{"/foo", "/foo/x", true},
		{"/foo", "/dir/foo", false},
		{"*.go", "/foo/bar/test.go", true},
		{"*.c", "/foo/bar/test.go", false},
		{"foo/bar", "/x/foo/bar/y", true},
		{"foo/bar", "/x/foo/y/bar", false},
		{"foo/**/bar", "/x/foo/y/z/bar/b", true},
		{"foo/**/bar", "/x/foo/bar", true},
		{"/home/**/*.tmp", "/home/u/a/b.tmp", true},
		{"/home/**/*.tmp", "/srv/u/a/b.tmp", false},
		{"/**/x", "/x", true},
		{"**/x", "/x", true},
		{"**", "/a", true},
		{"**", "/", false},
		{"/", "/", true},
		{"/", "/a", true},
		{"a?c", "/abc", true},
		{"a?c", "/aüc", true},
		{"[a-c]x", "/bx", true},
		{`\*`, "/*", true},
		{`\*`, "/a", false},
		{"./foo/../bar", "/bar", true},
		{"FOO", "/foo", false},
		{"**/a/**/b/**", "/1/a/2/b", true},
		{"*", "/a", true},
		{"x*", "/x\xff", true},
	}
	for _, tc := range tests {
		l, err := Compile([]string{tc.pattern}, Options{})
		if err != nil {
			t.Fatalf("%q: %v", tc.pattern, err)
		}
		if got, _ := l.MatchPath(tc.path); got != tc.want {
			t.Errorf("%q matches %q: got %v, want %v", tc.pattern, tc.path, got, tc.want)
		}
	}
}

func TestListNegation(t *testing.T) {
	patterns := []string{"/home/**/*", "!/home/docs", "*.tmp", "", "!keep.tmp"}
	tests := map[string]bool{
		"/home":                     false,
		"/home/x":                   true,
		"/home/docs":                false,
		"/home/docs/deep/file":      false,
		"/home/docs/deep/file.tmp":  true,
		"/home/docs/keep.tmp":       false,
		"/srv/a.tmp":                true,
		"/srv/keep.tmp":             false,
		"/srv/a":                    false,
		"/srv/a.tmp/keep.tmp/inner": false,
	}
	l, err := Compile(patterns, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range tests {
		if got, _ := l.MatchPath(p); got != want {
			t.Errorf("%q: got %v, want %v", p, got, want)
		}
	}
}

func TestBelow(t *testing.T) {
	tests := []struct {
		patterns       []string
		path           string
		matched, below bool
	}{
		{[]string{"/a/b/c"}, "/", false, true},
		{[]string{"/a/b/c"}, "/a", false, true},
		{[]string{"/a/b/c"}, "/a/x", false, false},
		{[]string{"/a/b/c"}, "/a/b/c/d", true, true},
		{[]string{"/a/**/c"}, "/a/x/y", false, true},
		{[]string{"c"}, "/a/x/y", false, true},
		{[]string{"/a", "!/a/b"}, "/a/b", false, false},
		{[]string{"/a", "!/a/b", "/a/b/c"}, "/a/b", false, true},
		{[]string{"!c", "/a"}, "/x", false, false},
	}
	for _, tc := range tests {
		l, err := Compile(tc.patterns, Options{})
		if err != nil {
			t.Fatal(err)
		}
		matched, below := l.MatchPath(tc.path)
		if matched != tc.matched || below != tc.below {
			t.Errorf("%q of %q: got %v, %v, want %v, %v", tc.path, tc.patterns, matched, below, tc.matched, tc.below)
		}
	}
}

func TestFoldCase(t *testing.T) {
	l, err := Compile([]string{"*.JPG", "/ÄB", "n\xffX"}, Options{FoldCase: true})
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]bool{
		"/a/B.jpg": true, "/äb/x": true, "/a/jpg": false, "/N\xffx": true, "/N\xfex": false,
	} {
		if got, _ := l.MatchPath(p); got != want {
			t.Errorf("%q: got %v, want %v", p, got, want)
		}
	}
}

func TestCompileRefusesMalformed(t *testing.T) {
	for _, p := range []string{"[", "a/[b", "x[a-", `\`, "!"} {
		if _, err := Compile([]string{p}, Options{}); !errors.Is(err, ErrPattern) {
			t.Errorf("%q: got %v, want ErrPattern", p, err)
		}
	}
}

func TestEmptyListMatchesNothing(t *testing.T) {
	var none *List
	if m, b := none.MatchPath("/a"); m || b || !none.Empty() {
		t.Errorf("nil list: got %v, %v", m, b)
	}
	if m, b := none.Match(none.Enter(none.Top(), "a"), "b"); m || b {
		t.Errorf("nil list in a walk: got %v, %v", m, b)
	}
}

func TestRead(t *testing.T) {
	in := "\ufeff# comment\n\n  *.o  \n$HOME/x\n${HOME}/y\na$$b\n$NONE\n!keep\r\n"
	env := func(name string) string {
		return map[string]string{"HOME": "/home/u"}[name]
	}
	got, err := Read(strings.NewReader(in), env)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"*.o", "/home/u/x", "/home/u/y", "a$b", "!keep"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := Read(strings.NewReader(strings.Repeat("x", maxLine+1)), env); err == nil {
		t.Error("an endless line was read")
	}
}

// slowList is the definition written down: each pattern against each prefix of
// the path and each place to start.
func slowList(patterns []string, p string, fold bool) (matched, below bool) {
	names := strings.FieldsFunc(p, func(r rune) bool { return r == '/' })
	for _, s := range patterns {
		if s == "" {
			continue
		}
		negated := s[0] == '!'
		s = path.Clean(strings.TrimPrefix(s, "!"))
		if fold {
			s = lower(s)
		}
		absolute := s[0] == '/'
		parts := strings.FieldsFunc(s, func(r rune) bool { return r == '/' })
		m, b := false, !absolute
		for start := 0; start <= len(names); start++ {
			if start > 0 && absolute {
				break
			}
			for end := start; end <= len(names); end++ {
				if end == start && !absolute {
					continue // a pattern must meet at least one name
				}
				m = m || slowMatch(parts, names[start:end], fold)
			}
			for n := range len(parts) + 1 {
				b = b || slowMatch(parts[:n], names, fold) // a beginning of it leads here
			}
		}
		b = b || m
		if negated {
			matched, below = matched && !m, below && !m
		} else {
			matched, below = matched || m, below || b
		}
	}
	return matched, below
}

func slowMatch(parts, names []string, fold bool) bool {
	if len(parts) == 0 {
		return len(names) == 0
	}
	if parts[0] == "**" {
		for n := range len(names) + 1 {
			if slowMatch(parts[1:], names[n:], fold) {
				return true
			}
		}
		return false
	}
	if len(names) == 0 {
		return false
	}
	name := names[0]
	if fold {
		name = lower(name)
	}
	ok, err := filepath.Match(parts[0], name)
	return err == nil && ok && slowMatch(parts[1:], names[1:], fold)
}

func FuzzListEqualsReference(f *testing.F) {
	f.Add("foo\n!bar/*\n/a/**/b", "/foo/a/bar/b", false)
	f.Add("**\n/\n*.o", "/x.o", true)
	f.Add("/a/*\n!/a/b\n**/c/**", "/a/b/c", false)
	f.Add("a/**/**/b\n!**/a", "/a/a/b/b", true)
	f.Fuzz(func(t *testing.T, lines, p string, fold bool) {
		if len(lines) > 60 || len(p) > 40 || strings.Count(lines, "**") > 4 {
			return
		}
		patterns := strings.Split(lines, "\n")
		l, err := Compile(patterns, Options{FoldCase: fold})
		if err != nil {
			return
		}
		gotMatch, gotBelow := l.MatchPath(p)
		wantMatch, wantBelow := slowList(patterns, p, fold)
		if gotMatch != wantMatch || gotBelow != wantBelow {
			t.Errorf("%q of %q, fold %v: got %v, %v, want %v, %v", p, patterns, fold, gotMatch, gotBelow, wantMatch, wantBelow)
		}
		s, names := l.Top(), strings.FieldsFunc(p, func(r rune) bool { return r == '/' })
		for i, name := range names {
			if i == len(names)-1 {
				if m, b := l.Match(s, name); m != gotMatch || b != gotBelow {
					t.Errorf("%q of %q: a walk gives %v, %v, the path %v, %v", p, patterns, m, b, gotMatch, gotBelow)
				}
			}
			s = l.Enter(s, name)
		}
	})
}

func ExampleList_MatchPath() {
	l, err := Compile([]string{"*.o", "!keep.o"}, Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range []string{"/src/a.o", "/src/keep.o", "/src/a.c"} {
		excluded, _ := l.MatchPath(p)
		fmt.Println(p, excluded)
	}
	// Output:
	// /src/a.o true
	// /src/keep.o false
	// /src/a.c false
}

func BenchmarkMatch(b *testing.B) {
	var patterns []string
	for i := range 50 {
		patterns = append(patterns, fmt.Sprintf("dir%d", i), fmt.Sprintf("*.ext%d", i))
	}
	patterns = append(patterns, "/home/*/.cache", "/var/**/tmp")
	l, err := Compile(patterns, Options{})
	if err != nil {
		b.Fatal(err)
	}
	s := l.Enter(l.Enter(l.Top(), "home"), "user")
	b.ReportAllocs()
	for b.Loop() {
		l.Match(s, "some-file-name.txt")
	}
}
