package backup

import (
	"context"
	"math"
	"sort"
	"sync"

	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// How the age of what a chunk replaces is averaged with that of its neighbours: a place that changes rarely has changed the day before now and then, and those
// beside it have not. docs/decisions/0017-writers-apart-by-age.md has what other numbers give.
const (
	nearParts = 4   // parts before it, and so many behind it
	ownWeight = 8   // of the part itself, as much as all neighbours, each of which counts once
	mostDays  = 400 // what is older, or of unknown age, counts as of so many days
)

// earlier says where the content of a file is in the parent's tree. The zero earlier is that of a file that was not there.
type earlier struct {
	parts  []tree.Part
	listed bool // parts name list pages
}

// replaced tells how long chunks of a large file are likely to be needed, by the age of what was at their places in the parent's tree. What was inserted or removed
// before a place moves it, which costs copying alone. It is safe for concurrent use.
type replaced struct {
	load tree.LoadPage
	age  func(id pack.ChunkID) (days int, ok bool)
	earlier

	mu   sync.Mutex // guards what follows
	here stretch    // which was looked at last
}

// stretch is a part of a file: one list page, or all of a file that has none.
type stretch struct {
	begin int64 // in the file, in bytes
	parts []tree.Part
	ends  []int64   // of parts in the file
	logs  []float64 // logarithms of the ages of parts in days; negative before they were asked for
}

// newReplaced returns nil for a file that replaces nothing.
func newReplaced(e earlier, load tree.LoadPage, age func(id pack.ChunkID) (days int, ok bool)) *replaced {
	if len(e.parts) == 0 {
		return nil
	}
	return &replaced{load: load, age: age, earlier: e}
}

// life returns the life of what is at a place in the file, given in bytes. Nobody knows it if there was nothing, or if that cannot be read.
func (p *replaced) life(ctx context.Context, offset int64) chunks.Life {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.here.has(offset) && !p.find(ctx, offset) {
		return chunks.LifeLong
	}
	s := &p.here
	at := sort.Search(len(s.ends), func(i int) bool { return s.ends[i] > offset })
	if s.parts[at].ID.IsZero() {
		return chunks.LifeLong
	}
	sum, weights := 0.0, 0.0
	for i := max(0, at-nearParts); i < min(len(s.parts), at+nearParts+1); i++ {
		weight := 1.0
		if i == at {
			weight = ownWeight
		}
		if s.parts[i].ID.IsZero() {
			continue
		}
		sum, weights = sum+weight*p.log(i), weights+weight
	}
	return chunks.LifeOf(math.Exp(sum / weights))
}

// log returns the logarithm of the age of a part in days. Less than a day counts as one.
func (p *replaced) log(i int) float64 {
	s := &p.here
	if s.logs[i] < 0 {
		days, ok := p.age(s.parts[i].ID)
		if !ok {
			days = mostDays
		}
		s.logs[i] = math.Log(float64(min(max(days, 1), mostDays)))
	}
	return s.logs[i]
}

// find looks at the stretch that has a place, and reports whether there is one.
func (p *replaced) find(ctx context.Context, offset int64) bool {
	if !p.listed {
		p.here = newStretch(0, p.parts)
		return p.here.has(offset)
	}
	begin := int64(0)
	for _, l := range p.parts {
		if offset < begin+l.Length {
			parts, err := tree.LoadList(ctx, p.load, l)
			if err != nil {
				return false
			}
			p.here = newStretch(begin, parts)
			return p.here.has(offset)
		}
		begin += l.Length
	}
	return false
}

func newStretch(begin int64, parts []tree.Part) stretch {
	s := stretch{begin: begin, parts: parts, ends: make([]int64, len(parts)), logs: make([]float64, len(parts))}
	end := begin
	for i, p := range parts {
		end += p.Length
		s.ends[i], s.logs[i] = end, -1
	}
	return s
}

// has reports whether a place is in the stretch.
func (s *stretch) has(offset int64) bool {
	return len(s.ends) > 0 && offset >= s.begin && offset < s.ends[len(s.ends)-1]
}
