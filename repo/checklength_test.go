package repo

import (
	"errors"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// TestCheckComparesLengths makes a snapshot whose file says of a chunk that it is longer than it is, which only reading the chunk can tell.
func TestCheckComparesLengths(t *testing.T) {
	c := newClock()
	store := c.store()
	r := newTestRepo(t, store, c.options())
	good := mustBack(t, r, "a", files{"file": "content", "other": "something else"})
	mustCheck(t, r)
	x, err := r.Lookup(t.Context(), good, "file")
	if err != nil || len(x.Parts) != 1 {
		t.Fatal(x, err)
	}

	writer, err := chunks.NewWriter(t.Context(), r.store, r.set, r.keys, r.writerOptions())
	if err != nil {
		t.Fatal(err)
	}
	saver := writer.NewSaver()
	b := tree.NewBuilder(func(kind pack.Kind, page []byte) (pack.ChunkID, error) { return saver.Save(t.Context(), kind, page) })
	x.Parts[0].Length++
	x.Size++
	if err := b.Add("", []tree.Entry{*x}, true); err != nil {
		t.Fatal(err)
	}
	root, err := b.Finish()
	if err == nil {
		err = saver.Flush(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &Snapshot{Time: time.Now(), SourceName: "b", Source: snapshot.SourceIDOf("b"), Sequence: 1, Root: root.String()}
	body, err := s.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.ID, err = r.records.Save(t.Context(), sealed.Snapshot, body); err != nil {
		t.Fatal(err)
	}

	r = reopen(t, store, c.options())
	if _, err := r.Check(t.Context(), CheckOptions{}); err != nil {
		t.Errorf("without reading data: %v", err)
	}
	res, err := r.Check(t.Context(), CheckOptions{ReadData: true})
	if !errors.Is(err, ErrDamagedFound) || len(res.Damage) != 0 || len(res.Affected) != 1 || res.Affected[0].Snapshot.ID != s.ID || len(res.Affected[0].Files) != 1 {
		t.Errorf("with reading data: %v: %+v", err, res)
	}
}
