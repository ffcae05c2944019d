package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// largeBytes is the size of the largest file that is stored: larger than a
// pack, and than the parts in which services take uploads.
const largeBytes = 40 << 20

// Test runs the whole suite, each part as a subtest with a store of its own.
// The function open returns a store without files, which nobody else uses; the
// suite closes it.
func Test(t *testing.T, open func(t *testing.T) Store) {
	parts := []struct {
		name string
		run  func(t *testing.T, s Store)
	}{
		{"Contents", testContents},
		{"Large", testLarge},
		{"ReadAt", testReadAt},
		{"ReadAtAll", testReadAtAll},
		{"Missing", testMissing},
		{"Taken", testTaken},
		{"Exclusive", testExclusive},
		{"FailingReader", testFailingReader},
		{"WrongSize", testWrongSize},
		{"CancelledBefore", testCancelledBefore},
		{"CancelledWithin", testCancelledWithin},
		{"InvisibleWhileWritten", testInvisibleWhileWritten},
		{"List", testList},
		{"ListMany", testListMany},
		{"ListStops", testListStops},
		{"ListCancelled", testListCancelled},
		{"Names", testNames},
		{"Remove", testRemove},
		{"ModTime", testModTime},
		{"Concurrent", testConcurrent},
		{"Spool", testSpool},
		{"SpoolTaken", testSpoolTaken},
		{"SpoolExclusive", testSpoolExclusive},
		{"SpoolDropped", testSpoolDropped},
		{"SpoolNames", testSpoolNames},
		{"SpoolCancelled", testSpoolCancelled},
	}
	for _, part := range parts {
		t.Run(part.name, func(t *testing.T) {
			s := open(t)
			defer func() {
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}()
			if names := slices.Sorted(maps.Keys(list(t, s, ""))); len(names) > 0 {
				t.Fatalf("the store is not empty at the start: %q", names)
			}
			part.run(t, s)
		})
	}
}

// TestReopen checks that files outlive the closing of a store. The function
// place prepares an empty place and returns a function that opens the store
// which is kept there, as often as it is called.
func TestReopen(t *testing.T, place func(t *testing.T) (open func() (Store, error))) {
	open := place(t)
	reopen := func() Store {
		t.Helper()
		s, err := open()
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		return s
	}
	want := map[string][]byte{"a": randomBytes(1, 0), "d/b": randomBytes(2, 1), "d/e/c": randomBytes(3, 100_000)}
	first := reopen()
	for name, data := range want {
		create(t, first, name, data)
	}
	create(t, first, "gone", []byte("gone"))
	if err := first.Remove(t.Context(), "gone"); err != nil {
		t.Errorf("Remove: %v", err)
	}
	if w := spool(t, first); w != nil {
		write(t, w, []byte("dropped by closing the store"))
		defer w.Close()
	}
	if err := first.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}

	second := reopen()
	defer second.Close()
	expect(t, second, want)
	create(t, second, "gone", []byte("again"))

	// A store that is open sees what another one stores.
	third := reopen()
	defer third.Close()
	create(t, third, "late", []byte("late"))
	want["gone"], want["late"] = []byte("again"), []byte("late")
	expect(t, second, want)
	expect(t, third, want)
}

// randomBytes returns size bytes that depend on the seed. Beyond the first
// block each one repeats it with its own number in front, which is quick to
// make and shows blocks that are lost or out of place.
func randomBytes(seed uint64, size int) []byte {
	const blockBytes = 4096
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	data := make([]byte, size)
	first := data[:min(size, blockBytes)]
	rand.NewChaCha8(key).Read(first)
	for off := blockBytes; off < size; off += blockBytes {
		n := copy(data[off:], first)
		if n >= 8 {
			binary.LittleEndian.PutUint64(data[off:], seed^uint64(off))
		}
	}
	return data
}

func create(t *testing.T, s Store, name string, data []byte) {
	t.Helper()
	if err := s.Create(t.Context(), name, bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatalf("Create %q with %d bytes: %v", name, len(data), err)
	}
}

// list returns names and sizes and checks that none comes twice.
func list(t *testing.T, s Store, prefix string) map[string]int64 {
	t.Helper()
	files := make(map[string]int64)
	err := s.List(t.Context(), prefix, func(name string, size int64, _ time.Time) error {
		if _, ok := files[name]; ok {
			t.Errorf("List %q gives %q twice", prefix, name)
		}
		files[name] = size
		return nil
	})
	if err != nil {
		t.Fatalf("List %q: %v", prefix, err)
	}
	return files
}

// expect checks that the store has the files of want, with their contents, and
// no others.
func expect(t *testing.T, s Store, want map[string][]byte) {
	t.Helper()
	sizes := make(map[string]int64)
	for name, data := range want {
		sizes[name] = int64(len(data))
		expectFile(t, s, name, data)
	}
	if got := list(t, s, ""); !maps.Equal(got, sizes) {
		t.Errorf("List gives %v, want %v", got, sizes)
	}
}

// expectFile checks size and contents of one file.
func expectFile(t *testing.T, s Store, name string, want []byte) {
	t.Helper()
	size, _, err := s.Stat(t.Context(), name)
	if err != nil || size != int64(len(want)) {
		t.Errorf("Stat %q: size %d, error %v, want size %d", name, size, err, len(want))
	}
	got := make([]byte, len(want)+1)
	n, err := s.ReadAt(t.Context(), name, got, 0)
	if err != io.EOF {
		t.Errorf("ReadAt %q past its end: error %v, want io.EOF itself", name, err)
	}
	if !bytes.Equal(got[:n], want) {
		t.Errorf("ReadAt %q gives %d bytes that differ from the %d stored", name, n, len(want))
	}
}

// expectAbsent checks that there is no trace of a file.
func expectAbsent(t *testing.T, s Store, name string) {
	t.Helper()
	if _, _, err := s.Stat(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat %q: error %v, want fs.ErrNotExist", name, err)
	}
	for _, size := range []int{1, 100} {
		if n, err := s.ReadAt(t.Context(), name, make([]byte, size), 0); n != 0 || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadAt %q: %d bytes, error %v, want fs.ErrNotExist", name, n, err)
		}
	}
	if _, ok := list(t, s, "")[name]; ok {
		t.Errorf("List gives %q", name)
	}
}

// within returns a context that ends with the test or by cancel.
func within(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}
