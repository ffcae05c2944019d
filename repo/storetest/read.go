package storetest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"
)

func testContents(t *testing.T, s Store) {
	want := make(map[string][]byte)
	for i, size := range []int{0, 1, 511, 4096, 65_537, 300_000, 1 << 20} {
		name := fmt.Sprintf("data/%02x/file-%d.bin", i, size)
		want[name] = randomBytes(uint64(i), size)
		create(t, s, name, want[name])
	}
	expect(t, s, want)
}

func testLarge(t *testing.T, s Store) {
	want := randomBytes(7, largeBytes)
	// Data that is nothing but a reader, in pieces of odd sizes.
	data := struct{ io.Reader }{&oddReader{data: want}}
	if err := s.Create(t.Context(), "data/large", data, largeBytes); err != nil {
		t.Fatalf("Create with %d bytes: %v", largeBytes, err)
	}
	expectFile(t, s, "data/large", want)
	if err := s.Remove(t.Context(), "data/large"); err != nil {
		t.Errorf("Remove: %v", err)
	}
}

// oddReader gives its data in pieces of varying size.
type oddReader struct {
	data  []byte
	reads int
}

func (r *oddReader) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	r.reads++
	n := copy(p[:min(len(p), 1+r.reads*7919%70_001)], r.data)
	r.data = r.data[n:]
	return n, nil
}

func testReadAt(t *testing.T, s Store) {
	const size = 10_000
	data := randomBytes(1, size)
	create(t, s, "f", data)
	create(t, s, "empty", nil)
	tests := []struct {
		name   string
		off    int64
		length int
		want   []byte
		end    bool // io.EOF is required
	}{
		{"f", 0, size, data, false},
		{"f", 0, 1, data[:1], false},
		{"f", 1234, 100, data[1234:1334], false},
		{"f", size - 1, 1, data[size-1:], false},
		{"f", size - 1, 2, data[size-1:], true},
		{"f", 1, size, data[1:], true},
		{"f", 0, 10 * size, data, true},
		{"f", size, 1, nil, true},
		{"f", size + 1, 1, nil, true},
		{"f", 1 << 40, 100, nil, true},
		{"f", 5, 0, nil, false},
		{"empty", 0, 1, nil, true},
		{"empty", 10, 10, nil, true},
	}
	for _, test := range tests {
		p := make([]byte, test.length)
		n, err := s.ReadAt(t.Context(), test.name, p, test.off)
		if !bytes.Equal(p[:n], test.want) {
			t.Errorf("ReadAt %q, %d bytes at %d: got %d bytes, want %d, or they differ", test.name, test.length, test.off, n, len(test.want))
		}
		// At the very end of a file either answer is right.
		if test.end && err != io.EOF || !test.end && err != nil && err != io.EOF {
			t.Errorf("ReadAt %q, %d bytes at %d: error %v, io.EOF required: %v", test.name, test.length, test.off, err, test.end)
		}
	}
	if n, err := s.ReadAt(t.Context(), "f", make([]byte, 1), -1); err == nil || n != 0 {
		t.Errorf("ReadAt a negative offset: %d bytes, error %v", n, err)
	}
}

// testReadAtAll reads a file in many random ranges. What one read gave stays as it is during the others.
func testReadAtAll(t *testing.T, s Store) {
	const size = 1 << 20
	data := randomBytes(2, size)
	create(t, s, "data/f", data)
	random := rand.New(rand.NewPCG(1, 2))
	type part struct {
		p   []byte
		off int
	}
	var parts []part
	for range 40 {
		off := random.IntN(size)
		p := make([]byte, 1+random.IntN(size-off))
		n, err := s.ReadAt(t.Context(), "data/f", p, int64(off))
		if n != len(p) || err != nil && err != io.EOF || !bytes.Equal(p, data[off:off+n]) {
			t.Fatalf("ReadAt %d bytes at %d: %d bytes, error %v, or other contents", len(p), off, n, err)
		}
		parts = append(parts, part{p, off})
	}
	for _, x := range parts {
		if !bytes.Equal(x.p, data[x.off:x.off+len(x.p)]) {
			t.Fatalf("ReadAt %d bytes at %d: a later ReadAt changed what it gave", len(x.p), x.off)
		}
	}
}

func testModTime(t *testing.T, s Store) {
	create(t, s, "a", []byte("a"))
	_, first, err := s.Stat(t.Context(), "a")
	if err != nil || first.IsZero() {
		t.Fatalf("Stat: time %v, error %v", first, err)
	}
	create(t, s, "b", []byte("b"))
	_, second, err := s.Stat(t.Context(), "b")
	if err != nil || second.Before(first) {
		t.Errorf("Stat: time %v, error %v; a file stored before has %v", second, err, first)
	}
	if _, again, err := s.Stat(t.Context(), "a"); err != nil || !again.Equal(first) {
		t.Errorf("Stat a second time: time %v, error %v, at first %v", again, err, first)
	}
	listed := make(map[string]time.Time)
	err = s.List(t.Context(), "", func(name string, _ int64, modTime time.Time) error {
		listed[name] = modTime
		return nil
	})
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	// Listings of some services give whole seconds.
	for name, want := range map[string]time.Time{"a": first, "b": second} {
		if d := listed[name].Sub(want).Abs(); d > time.Second {
			t.Errorf("List gives %q the time %v, Stat %v", name, listed[name], want)
		}
	}
}
