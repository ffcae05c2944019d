package local

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

// dirents returns entries as the kernel writes them.
func dirents(names ...string) (b []byte) {
	for i, name := range names {
		size := (19 + len(name) + 1 + 7) &^ 7
		e := make([]byte, size)
		binary.NativeEndian.PutUint64(e, uint64(i+1))
		binary.NativeEndian.PutUint16(e[16:], uint16(size))
		e[18] = 8
		copy(e[19:], name)
		b = append(b, e...)
	}
	return b
}

func TestParse(t *testing.T) {
	var l listing
	l.parse(dirents(".", "..", "b", "abcdefgh", "abcdefghi", "abcdefg", "b", ""))
	l.sort()
	var names []string
	for i := range l.keys {
		names = append(names, string(l.name(&l.keys[i])))
	}
	if want := []string{"abcdefg", "abcdefgh", "abcdefghi", "b"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	if !l.has("abcdefgh") || l.has("abc") || l.has("") {
		t.Error("has is wrong")
	}
	l.keep(func(name string) bool { return name > "abcdefgh" })
	if len(l.keys) != 2 || l.keys[0].inode != 5 {
		t.Errorf("kept %+v", l.keys)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(dirents("a", ".", "long name of a file"))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{20, 0}, 30))
	f.Fuzz(func(t *testing.T, b []byte) {
		var l listing
		l.parse(b)
		l.sort()
		for i := range l.keys {
			k := &l.keys[i]
			name := l.name(k)
			if len(name) == 0 || bytes.IndexByte(name, 0) >= 0 || l.names[k.offset+k.length] != 0 {
				t.Errorf("entry %d is named %q", i, name)
			}
			if i > 0 && bytes.Compare(l.name(&l.keys[i-1]), name) >= 0 {
				t.Errorf("%q before %q", l.name(&l.keys[i-1]), name)
			}
		}
	})
}
