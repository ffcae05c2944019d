package chunks

import (
	"bytes"
	"fmt"
	"math/rand/v2"
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
