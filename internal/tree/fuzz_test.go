package tree

import (
	"errors"
	"reflect"
	"testing"

	"github.com/snapkeep/snap/internal/vectortest"
	"github.com/snapkeep/snap/pack"
)

func named(t *testing.T, err error) {
	t.Helper()
	if err != nil && errors.Is(err, ErrCorrupt) == errors.Is(err, ErrNewer) {
		t.Fatalf("an error of no single kind: %v", err)
	}
}

// What an inner page says is said by the page that is encoded from it.
func FuzzInner(f *testing.F) {
	for _, v := range vectortest.Load(f, "inner") {
		f.Add(v.Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := ParseInner(data)
		named(t, err)
		if err != nil {
			return
		}
		again, err := ParseInner(encodeInner(nil, in.Level, in.Children))
		if err != nil || !reflect.DeepEqual(again, in) {
			t.Fatalf("%+v became %+v, %v", in, again, err)
		}
	})
}

// A reference page fits the files of its leaf page or is refused, and gives each chunk.
func FuzzRefs(f *testing.F) {
	for _, v := range vectortest.Load(f, "refs") {
		f.Add(v.Bytes(f, "leaf"), v.Data)
	}
	f.Fuzz(func(t *testing.T, page, data []byte) {
		refs, err := ParseRefs(data)
		named(t, err)
		if err != nil {
			return
		}
		chunks := 0
		refs.Chunks(func(id pack.ChunkID, _ bool) {
			if chunks++; id.IsZero() {
				t.Fatal("a hole was given as a chunk")
			}
		})
		leaf, err := ParseLeaf(page)
		if err != nil {
			return
		}
		entries, err := leaf.Entries()
		if err != nil || AttachRefs(entries, refs) != nil {
			return
		}
		for _, run := range entries {
			for _, x := range run {
				for _, p := range x.Parts {
					if !p.ID.IsZero() {
						chunks--
					}
				}
			}
		}
		if chunks != 0 {
			t.Fatalf("%d chunks belong to no file", chunks)
		}
	})
}

func FuzzList(f *testing.F) {
	for _, v := range vectortest.Load(f, "list") {
		f.Add(v.Data, int64(100))
	}
	f.Fuzz(func(t *testing.T, data []byte, length int64) {
		parts, err := ParseList(data, length)
		named(t, err)
		if err != nil {
			return
		}
		for _, p := range parts {
			if p.Length <= 0 || (!p.ID.IsZero() && p.Length > pack.MaxChunkSize) {
				t.Fatalf("part of %d bytes", p.Length)
			}
		}
	})
}
