package faulty

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/store"
)

// Damage says which files are damaged when they are read, and how. What is
// stored stays as it is. Which files are hit, and where, depends on Seed and on
// name and size of the file only, so that damage stays where it is.
type Damage struct {
	// Seed chooses the files and the places.
	Seed uint64
	// Name, if not nil, is asked whether a file may be hit.
	Name func(name string) bool
	// FlipShare is the share, from 0 to 1, of the files in which bits are
	// flipped.
	FlipShare float64
	// Flips is how many bits are flipped in each of those; 0 stands for 1. Two
	// may fall on the same bit.
	Flips int
	// CutShare is the share of files that end before their end, at a random
	// place. Listings and Stat show the shorter size, as a real cut would.
	CutShare float64
	// Once repairs a flipped bit when it was read once, as with bad memory or
	// a bad cable.
	Once bool
}

// Wrap returns a store that shows the files of s damaged.
func (d Damage) Wrap(s store.Store) store.Store {
	outer := &damaged{Store: s, damage: d, healed: make(map[string]map[int64]bool)}
	return store.WithSpool(outer, s, func(inner store.Spooler) store.SpoolFunc { return inner.Spool })
}

type damaged struct {
	store.Store
	damage Damage

	mu     sync.Mutex
	healed map[string]map[int64]bool // name and bit, for Once; guarded by mu
}

// wounds is the damage of one file.
type wounds struct {
	size int64   // as shown
	bits []int64 // flipped, counted from the start of the file
}

// of returns the damage of a file of the given size.
func (d Damage) of(name string, size int64) wounds {
	if size == 0 || d.Name != nil && !d.Name(name) {
		return wounds{size: size}
	}
	h := fnv.New64a()
	io.WriteString(h, name)
	binary.Write(h, binary.LittleEndian, size)
	random := rand.New(rand.NewPCG(d.Seed, h.Sum64()))
	w := wounds{size: size}
	// Each number is drawn in any case, so that one choice does not move the
	// others.
	flip, cut, end := random.Float64(), random.Float64(), random.Int64N(size)
	if cut < d.CutShare {
		w.size = end
	}
	if flip < d.FlipShare {
		for range max(d.Flips, 1) {
			w.bits = append(w.bits, random.Int64N(size*8))
		}
	}
	return w
}

func (s *damaged) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	size, _, err := s.Store.Stat(ctx, name)
	if err != nil {
		return 0, err
	}
	w := s.damage.of(name, size)
	short := off >= 0 && off+int64(len(p)) > w.size
	if short {
		p = p[:max(w.size-off, 0)]
	}
	n, err := s.Store.ReadAt(ctx, name, p, off)
	for _, bit := range w.bits {
		if at := bit/8 - off; at >= 0 && at < int64(n) && s.hits(name, bit) {
			p[at] ^= 1 << (bit % 8)
		}
	}
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// hits reports whether a bit is flipped in this read.
func (s *damaged) hits(name string, bit int64) bool {
	if !s.damage.Once {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.healed[name] == nil {
		s.healed[name] = make(map[int64]bool)
	}
	hit := !s.healed[name][bit]
	s.healed[name][bit] = true
	return hit
}

func (s *damaged) Stat(ctx context.Context, name string) (int64, time.Time, error) {
	size, modTime, err := s.Store.Stat(ctx, name)
	if err != nil {
		return 0, time.Time{}, err
	}
	return s.damage.of(name, size).size, modTime, nil
}

func (s *damaged) List(ctx context.Context, prefix string, fn func(string, int64, time.Time) error) error {
	return s.Store.List(ctx, prefix, func(name string, size int64, modTime time.Time) error {
		return fn(name, s.damage.of(name, size).size, modTime)
	})
}

// Rewrite replaces a stored file by what change makes of its contents, which
// it may do in place. If change returns nil the file is removed.
func Rewrite(ctx context.Context, s store.Store, name string, change func(data []byte) []byte) error {
	size, _, err := s.Stat(ctx, name)
	if err != nil {
		return err
	}
	data := make([]byte, size)
	if _, err := s.ReadAt(ctx, name, data, 0); err != nil && err != io.EOF {
		return err
	}
	if data = change(data); data == nil {
		return s.Remove(ctx, name)
	}
	if err := s.Remove(ctx, name); err != nil {
		return err
	}
	return s.Create(ctx, name, bytes.NewReader(data), int64(len(data)))
}
