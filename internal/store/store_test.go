package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"
)

func TestCheckName(t *testing.T) {
	t.Parallel()
	good := []string{"a", "snap.json", "data/3f/3f2a", "a/b/c/d", ".hidden", "-", "..a", "a..", strings.Repeat("x", MaxNameBytes)}
	for _, name := range good {
		if err := CheckName(name); err != nil {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
	bad := []string{"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "A", "a b", "a\\b", "a\x00", "ä",
		"a:b", "a\n", strings.Repeat("x", MaxNameBytes+1)}
	for _, name := range bad {
		if err := CheckName(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("CheckName(%q) = %v, want fs.ErrInvalid", name, err)
		}
	}
}

func FuzzCheckName(f *testing.F) {
	f.Add("data/3f/3f2a")
	f.Add("../x")
	f.Fuzz(func(t *testing.T, name string) {
		slow := len(name) <= MaxNameBytes && fs.ValidPath(name) && name != "." &&
			strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789._-/") == "" &&
			!strings.ContainsFunc(name, func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789._-/", r) })
		if got := CheckName(name) == nil; got != slow {
			t.Errorf("CheckName(%q) accepts: %v, want %v", name, got, slow)
		}
	})
}

func TestExactReader(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	tests := []struct {
		name string
		data io.Reader
		size int64
		want error
	}{
		{"exact", strings.NewReader("hello"), 5, nil},
		{"exact, byte by byte", iotest.OneByteReader(strings.NewReader("hello")), 5, nil},
		{"exact, end with data", iotest.DataErrReader(strings.NewReader("hello")), 5, nil},
		{"empty", strings.NewReader(""), 0, nil},
		{"short", strings.NewReader("hell"), 5, io.ErrUnexpectedEOF},
		{"short, end with data", iotest.DataErrReader(strings.NewReader("hell")), 5, io.ErrUnexpectedEOF},
		{"nothing", strings.NewReader(""), 5, io.ErrUnexpectedEOF},
		{"long", strings.NewReader("hello!"), 5, fs.ErrInvalid},
		{"long for empty", strings.NewReader("h"), 0, fs.ErrInvalid},
		{"negative", strings.NewReader(""), -1, fs.ErrInvalid},
		{"broken", io.MultiReader(strings.NewReader("he"), iotest.ErrReader(broken)), 5, broken},
		{"broken at the end", io.MultiReader(strings.NewReader("hello"), iotest.ErrReader(broken)), 5, broken},
	}
	for _, test := range tests {
		var got bytes.Buffer
		_, err := io.Copy(&got, ExactReader(t.Context(), test.data, test.size))
		if !errors.Is(err, test.want) || test.want == nil && got.String() != "hello"[:test.size] {
			t.Errorf("%s: read %q with error %v, want error %v", test.name, got.String(), err, test.want)
		}
	}
}

func TestExactReaderEndsWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r := ExactReader(ctx, strings.NewReader("hello"), 5)
	if _, err := r.Read(make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := r.Read(make([]byte, 2)); !errors.Is(err, context.Canceled) {
		t.Errorf("read after cancel: %v", err)
	}
}
