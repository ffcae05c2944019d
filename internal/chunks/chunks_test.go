package chunks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/pack"
)

// testKeys are the keys of a repository that keeps its content key in memory.
func testKeys() Keys {
	repo := [16]byte{1}
	content := seal.NewKey(&[32]byte{2}, repo, nil)
	return Keys{Repository: repo, ChunkIDs: pack.IDKey{3}, Metadata: seal.NewKey(&[32]byte{4}, repo, nil),
		Content:    func(context.Context, seal.KeyID) (*seal.Key, error) { return content, nil },
		NewContent: func(context.Context) (*seal.Key, error) { return content, nil }}
}

func newWriter(t *testing.T, store Store, set *index.Set, o Options) *Writer {
	t.Helper()
	w, err := NewWriter(t.Context(), store, set, testKeys(), o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// noSpool hides a store's Spool, so that packs are collected in memory.
type noSpool struct{ Store }

func randomChunk(r *rand.Rand) []byte {
	b := make([]byte, 1+r.IntN(3000))
	if r.IntN(20) == 0 {
		b = make([]byte, 1+r.IntN(2<<20))
	}
	for i := range b {
		b[i] = byte(r.IntN(1 + r.IntN(256)))
	}
	return b
}

func TestChunksComeBack(t *testing.T) {
	for _, spool := range []bool{true, false} {
		t.Run(fmt.Sprintf("spool=%v", spool), func(t *testing.T) {
			var store Store = mem.New(nil)
			if !spool {
				store = noSpool{store}
			}
			set := index.NewSet()
			w := newWriter(t, store, set, Options{PackSize: 1 << 20})
			want := saveConcurrently(t, w, 4, 150)
			if _, err := w.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
			l := NewLoader(store, set, testKeys(), 1<<20)
			for c, data := range want {
				got, err := l.Load(t.Context(), c.kind, c.id)
				if err != nil || !bytes.Equal(got, data) {
					t.Fatalf("chunk %s: %d bytes, want %d: %v", c.id, len(got), len(data), err)
				}
			}
			if s := w.Stats(); s.DataChunks+s.TreeChunks != int64(len(want)) {
				t.Errorf("%d chunks saved, want %d", s.DataChunks+s.TreeChunks, len(want))
			}
		})
	}
}

type named struct {
	kind pack.Kind
	id   pack.ChunkID
}

// saveConcurrently saves chunks from several goroutines, half of which are the same.
func saveConcurrently(t *testing.T, w *Writer, savers, chunks int) map[named][]byte {
	t.Helper()
	var mu sync.Mutex
	want := map[named][]byte{}
	var wg sync.WaitGroup
	for n := range savers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n/2), 5))
			s := w.NewSaver()
			for i := range chunks {
				data := randomChunk(r)
				kind := pack.Kind(1 + i%3)
				var id pack.ChunkID
				var err error
				if i%2 == 0 {
					id, err = s.Save(t.Context(), kind, data)
				} else {
					var buf []byte
					if buf, err = s.Tail(t.Context(), kind, len(data)); err == nil {
						copy(buf, data)
						id, err = s.SaveTail(t.Context(), kind, len(data))
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				want[named{kind, id}] = data
				mu.Unlock()
			}
			if err := s.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	return want
}

func TestSecondRunSavesNothing(t *testing.T) {
	store, set := mem.New(nil), index.NewSet()
	for run := range 2 {
		w := newWriter(t, store, set, Options{})
		saveConcurrently(t, w, 2, 60)
		if _, err := w.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		if packs := w.Stats().Packs; (run == 0) != (packs > 0) {
			t.Errorf("run %d wrote %d packs", run, packs)
		}
	}
}

// TestCorruptEncoderIsNoticed damages every n-th segment behind the encoder, as bad
// memory or a fault in the compressor would.
func TestCorruptEncoderIsNoticed(t *testing.T) {
	for bad := range 5 {
		store, set := mem.New(nil), index.NewSet()
		var mu sync.Mutex
		count := 0
		w := newWriter(t, store, set, Options{Corrupt: func(box []byte) {
			mu.Lock()
			defer mu.Unlock()
			if count == bad {
				box[len(box)/2] ^= 0x10
			}
			count++
		}})
		s := w.NewSaver()
		var err error
		for i := range 20 {
			if _, err = s.Save(t.Context(), pack.KindData, bytes.Repeat([]byte{byte(i)}, ownSegment+i)); err != nil {
				break
			}
		}
		if !errors.Is(err, ErrVerify) {
			t.Errorf("segment %d damaged: %v", bad, err)
		}
		if err := w.Abandon(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestDamagedPackIsNoticedAndACopyServes(t *testing.T) {
	store, set := mem.New(nil), index.NewSet()
	w := newWriter(t, store, set, Options{})
	s := w.NewSaver()
	id, err := s.Save(t.Context(), pack.KindData, []byte("once"))
	if err != nil {
		t.Fatal(err)
	}
	s.Flush(t.Context())
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	loc, _ := set.Lookup(id)
	if err := store.Remove(t.Context(), pack.Name(loc.Class, loc.Pack)); err != nil {
		t.Fatal(err)
	}
	if _, err := NewLoader(store, set, testKeys(), 0).Load(t.Context(), pack.KindData, id); !errors.Is(err, pack.ErrCorrupt) {
		t.Errorf("missing pack: %v", err)
	}
	// The same chunk, stored again by somebody who did not know of the first.
	w = newWriter(t, store, index.NewSet(), Options{})
	s = w.NewSaver()
	if _, err := s.Save(t.Context(), pack.KindData, []byte("once")); err != nil {
		t.Fatal(err)
	}
	s.Flush(t.Context())
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	for p := range w.set.Packs() {
		_, d, err := readDirectory(t, store, p.Class, p.ID)
		if err != nil {
			t.Fatal(err)
		}
		set.Add(index.Pack{ID: p.ID, Class: p.Class, Size: p.Size, Directory: d})
	}
	if got, err := NewLoader(store, set, testKeys(), 0).Load(t.Context(), pack.KindData, id); err != nil || string(got) != "once" {
		t.Errorf("copy does not serve: %q, %v", got, err)
	}
}

func readDirectory(t *testing.T, store *mem.Store, class pack.Class, id pack.ID) (pack.Class, pack.Directory, error) {
	t.Helper()
	name := pack.Name(class, id)
	size, _, err := store.Stat(t.Context(), name)
	if err != nil {
		return 0, nil, err
	}
	k := testKeys()
	return pack.ReadDirectoryFrom(at{t.Context(), store, name}, size, k.Metadata, k.Repository)
}

type at struct {
	ctx   context.Context
	store Store
	name  string
}

func (a at) ReadAt(p []byte, off int64) (int, error) { return a.store.ReadAt(a.ctx, a.name, p, off) }

func TestAbandonedRunIsUsedByTheNext(t *testing.T) {
	store := mem.New(nil)
	w := newWriter(t, store, index.NewSet(), Options{PackSize: 1 << 20})
	s := w.NewSaver()
	r := rand.New(rand.NewPCG(1, 1))
	for range 6 {
		b := make([]byte, 700<<10)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if _, err := s.Save(t.Context(), pack.KindData, b); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(5 * time.Minute); w.Stats().Packs == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if err := w.Abandon(t.Context()); err != nil {
		t.Fatal(err)
	}
	indexes := 0
	store.List(t.Context(), "index/", func(string, int64, time.Time) error { indexes++; return nil })
	if indexes == 0 {
		t.Error("no index file of the finished packs")
	}
}

func BenchmarkSave(b *testing.B) {
	for _, level := range []compress.Level{compress.Off, compress.Fastest, compress.Default} {
		for _, verify := range []bool{true, false} {
			b.Run(fmt.Sprintf("level=%s/verify=%v", level, verify), func(b *testing.B) {
				w, err := NewWriter(b.Context(), mem.New(nil), index.NewSet(), testKeys(), Options{Compression: level, SkipVerify: !verify})
				if err != nil {
					b.Fatal(err)
				}
				s := w.NewSaver()
				text := bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog 0123456789\n"), 20000)[:1<<20]
				r := rand.New(rand.NewPCG(1, 1))
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					for i := 0; i < len(text); i += 16 {
						text[i] = byte(r.Uint32())
					}
					if _, err := s.Save(b.Context(), pack.KindData, text); err != nil {
						b.Fatal(err)
					}
				}
				s.Flush(b.Context())
				if _, err := w.Finish(b.Context()); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
