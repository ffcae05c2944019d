package chunks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/pack"
)

// TestSharedServesManyWriters runs Writers side by side and one after the other with the same encoders and buffers: each chunk is
// what was saved.
func TestSharedServesManyWriters(t *testing.T) {
	keys, store, set := testKeys(), mem.New(nil), index.NewSet()
	shared, err := NewShared(keys.ChunkIDs, compress.Default)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex // guards saved
	saved := map[pack.ChunkID][]byte{}
	var group sync.WaitGroup
	for n := range uint64(12) {
		group.Go(func() {
			w, err := NewWriter(t.Context(), store, set, keys, Options{PackSize: 1 << 20, Shared: shared})
			if err != nil {
				t.Error(err)
				return
			}
			s, rng := w.NewSaver(), rand.New(rand.NewPCG(n, n))
			for i := range 60 {
				data := make([]byte, rng.IntN(40_000)+1)
				if i%20 == 0 {
					data = make([]byte, 4<<20) // more than a bench keeps
				}
				for at := range data {
					data[at] = byte(rng.Uint32() >> (i % 8))
				}
				var id pack.ChunkID
				if i%2 == 0 {
					id, err = s.Save(t.Context(), pack.KindData, data)
				} else {
					var buf []byte
					if buf, err = s.Tail(t.Context(), pack.KindData, len(data)); err == nil {
						copy(buf, data)
						id, err = s.SaveTail(t.Context(), pack.KindData, len(data))
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				saved[id] = data
				mu.Unlock()
			}
			if err := s.Flush(t.Context()); err != nil {
				t.Error(err)
				return
			}
			s.Release()
			if _, err := w.Finish(t.Context()); err != nil {
				t.Error(err)
			}
		})
		if n%3 == 2 {
			group.Wait()
		}
	}
	group.Wait()
	l := NewLoader(store, set, keys, 1<<20)
	for id, want := range saved {
		got, err := l.Load(t.Context(), pack.KindData, id)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatal(fmt.Errorf("%s: %d bytes, want %d: %w", id, len(got), len(want), err))
		}
	}
}

// noIndex is a store that takes no index files.
type noIndex struct{ Store }

func (s noIndex) Create(ctx context.Context, name string, r io.Reader, size int64) error {
	if strings.HasPrefix(name, "index/") {
		return errFull
	}
	return s.Store.Create(ctx, name, r, size)
}

// TestOthersReferToWhatIsIndexed has two Writers of one process save the same: a snapshot of the second must not need a pack that would be in no
// index file if the first ended now.
func TestOthersReferToWhatIsIndexed(t *testing.T) {
	for _, fails := range []bool{false, true} {
		var store Store = mem.New(nil)
		if fails {
			store = noIndex{store}
		}
		set := index.NewSet()
		told := map[pack.ID]bool{}
		first := newWriter(t, store, set, Options{Indexed: func(_ pack.ID, packs []index.Pack) {
			for _, p := range packs {
				told[p.ID] = true
			}
		}})
		second := newWriter(t, store, set, Options{})
		s := first.NewSaver()
		id, err := s.Save(t.Context(), pack.KindData, []byte("once"))
		if err == nil {
			err = s.Flush(t.Context())
		}
		if p := first.packers[pack.ClassData][LifeLong]; err == nil {
			err = errors.Join(first.join(), p.end(), p.commits.Wait()) // the pack is durable
		}
		if err != nil {
			t.Fatal(err)
		}
		if !first.Has(id) || second.Has(id) {
			t.Errorf("before the index file the first has it: %v, the second: %v", first.Has(id), second.Has(id))
		}
		if _, err := first.Finish(t.Context()); (err != nil) != fails {
			t.Fatal(err)
		}
		if second.Has(id) == fails {
			t.Errorf("the second has it: %v, where an index file could not be stored: %v", !fails, fails)
		}
		if relied := second.Relied(); !fails && (len(relied) != 1 || !told[relied[0]]) {
			t.Errorf("the second relied on %v, told of %v", relied, told)
		}
	}
}

func TestDryRunTellsNobody(t *testing.T) {
	store, set := mem.New(nil), index.NewSet()
	w := newWriter(t, store, set, Options{DryRun: true, Indexed: func(pack.ID, []index.Pack) { t.Error("an index file was told of") }})
	s := w.NewSaver()
	id, err := s.Save(t.Context(), pack.KindData, []byte("once"))
	if err == nil {
		err = s.Flush(t.Context())
	}
	if err == nil {
		_, err = w.Finish(t.Context())
	}
	if err != nil || set.Has(id) || !w.Has(id) {
		t.Errorf("the index has what a dry run saved: %v; the run itself: %v; %v", set.Has(id), w.Has(id), err)
	}
}
