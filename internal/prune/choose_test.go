package prune

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/pack"
)

func usage(n byte, class pack.Class, live, dead int64) index.Usage {
	u := index.Usage{PackInfo: index.PackInfo{ID: pack.ID{n}, Class: class, Size: live + dead + 100}, LiveBytes: live, DeadBytes: dead}
	if live > 0 {
		u.LiveSegments = 1
	}
	return u
}

func TestChoose(t *testing.T) {
	const mib = 1 << 20
	packs := []index.Usage{
		usage(1, pack.ClassData, 10*mib, 0),
		usage(2, pack.ClassData, 0, 10*mib), // dead
		usage(3, pack.ClassData, 8*mib, 2*mib),
		usage(4, pack.ClassData, 1*mib, 9*mib),
		usage(5, pack.ClassMeta, 5*mib, 5*mib),
	}
	tests := []struct {
		name       string
		unused     float64
		repack     int64
		want       []byte // packs to copy
		left       int64
		unfinished bool
	}{
		{"nothing unused", 0, -1, []byte{4, 5, 3}, 0, false},
		{"a third", 0.34, -1, []byte{4}, 7 * mib, false},
		{"exactly at the limit", 7.0 / 24, -1, []byte{4}, 7 * mib, false},
		{"just below", 6.99 / 24, -1, []byte{4, 5}, 2 * mib, false},
		{"all may stay", 1, -1, nil, 16 * mib, false},
		{"no copying", 0, 0, nil, 16 * mib, true},
		{"little copying: small ones behind a large one", 0, 6*mib - 1, []byte{4}, 7 * mib, true},
		{"enough copying", 0, 14 * mib, []byte{4, 5, 3}, 0, false},
	}
	for _, test := range tests {
		p := Choose(slices.Values(packs), Limits{MaxUnused: test.unused, MaxRepack: test.repack, PackSize: 32 * mib})
		var got []byte
		for _, u := range p.Repack {
			got = append(got, u.ID[0])
		}
		if !slices.Equal(got, test.want) || p.Unused != test.left || p.Unfinished != test.unfinished || p.Live != 24*mib ||
			len(p.Dead) != 1 || p.Dead[0].ID[0] != 2 {
			t.Errorf("%s: copy %v, %d unused, unfinished %v, dead %v", test.name, got, p.Unused, p.Unfinished, p.Dead)
		}
	}
}

func TestChooseJoinsSmallPacks(t *testing.T) {
	var packs []index.Usage
	for i := range manySmall {
		packs = append(packs, usage(byte(i), pack.ClassMeta, 1000, 0))
	}
	l := Limits{MaxUnused: 0.1, MaxRepack: -1, PackSize: 32 << 20}
	if p := Choose(slices.Values(packs[1:]), l); len(p.Repack) != 0 {
		t.Errorf("%d of few small packs are joined", len(p.Repack))
	}
	if p := Choose(slices.Values(packs), l); len(p.Repack) != manySmall {
		t.Errorf("%d of many small packs are joined", len(p.Repack))
	}
}

// profile is a way in which data changes: the share of segments that a day changes, and how unevenly.
type profile struct {
	name   string
	share  float64
	skewed bool // few segments change most of the time
}

// yearResult is what became of a repository in 400 days.
type yearResult struct {
	written, copied float64 // bytes; copied as a share of written
	unused          float64 // at the end, as a share of what is live
}

// years simulates 400 days with a prune every week and 7 daily, 4 weekly and 12 monthly snapshots.
func years(p profile, maxUnused float64, segments int, seed uint64) yearResult {
	const perPack, bytes = 16, 2 << 20
	rng := rand.New(rand.NewPCG(seed, 1))
	type segment struct{ born, died int } // a day; died is when no live source has it any more
	type packed []*segment
	var packs []packed
	var open [streams]packed
	put := func(to Stream, s *segment) {
		if open[to] = append(open[to], s); len(open[to]) == perPack {
			packs, open[to] = append(packs, open[to]), nil
		}
	}
	flush := func() {
		for to := range open {
			if len(open[to]) > 0 {
				packs, open[to] = append(packs, open[to]), nil
			}
		}
	}
	const never = 1 << 30
	current := make([]*segment, segments)
	written, copied := 0, 0
	for i := range current {
		current[i] = &segment{0, never}
		put(Current, current[i])
		written++
	}
	flush()
	kept := func(day int) []int { // days whose snapshots are there
		var days []int
		for d := max(0, day-6); d <= day; d++ {
			days = append(days, d)
		}
		for w := 1; w <= 4; w++ {
			days = append(days, max(0, (day-6)/7*7-7*w+6))
		}
		for m := 1; m <= 12; m++ {
			days = append(days, max(0, (day-34)/30*30-30*m+29))
		}
		return days
	}
	var last Plan
	for day := 1; day <= 400; day++ {
		for range int(float64(segments) * p.share) {
			i := rng.IntN(segments)
			if p.skewed && rng.IntN(10) > 0 {
				i = rng.IntN(segments/20 + 1)
			}
			current[i].died = day
			current[i] = &segment{day, never}
			put(Current, current[i])
			written++
		}
		flush()
		if day%7 != 0 {
			continue
		}
		days := kept(day)
		needed := func(s *segment) bool {
			return slices.ContainsFunc(days, func(d int) bool { return s.born <= d && d < s.died })
		}
		var all []index.Usage
		for i, pk := range packs {
			u := index.Usage{PackInfo: index.PackInfo{ID: pack.ID{byte(i), byte(i >> 8), byte(i >> 16)}, Class: pack.ClassData, Size: int64(len(pk) * bytes)}}
			for _, s := range pk {
				if needed(s) {
					u.LiveSegments++
					u.LiveBytes += bytes
				} else {
					u.DeadBytes += bytes
				}
			}
			all = append(all, u)
		}
		last = Choose(slices.Values(all), Limits{MaxUnused: maxUnused, MaxRepack: -1, PackSize: perPack * bytes})
		gone := map[int]bool{}
		number := func(id pack.ID) int { return int(id[0]) | int(id[1])<<8 | int(id[2])<<16 }
		for _, d := range last.Dead {
			gone[number(d.ID)] = true
		}
		for _, u := range last.Repack {
			gone[number(u.ID)] = true
			for _, s := range packs[number(u.ID)] {
				if needed(s) {
					to := Current
					if s.died != never {
						to = History
					}
					put(to, s)
					copied++
				}
			}
		}
		flush()
		var left []packed
		for i, pk := range packs {
			if !gone[i] {
				left = append(left, pk)
			}
		}
		packs = left
	}
	return yearResult{float64(written), float64(copied) / float64(written), float64(last.Unused) / float64(last.Live)}
}

// TestYears compares limits of what may stay unused. The default was chosen by its outcome.
func TestYears(t *testing.T) {
	segments := 2_000
	if os.Getenv("SNAP_LONG_TESTS") != "" {
		segments = 40_000
	}
	for _, p := range []profile{{"file server", 0.004, false}, {"databases", 0.05, true}, {"scattered", 0.02, false}} {
		text, before := p.name+":", 2.0
		for _, limit := range []float64{0.05, 0.10, 0.15, 0.20, 0.30} {
			r := years(p, limit, segments, 1)
			text += fmt.Sprintf("  %.0f %%: %.1f %% copied, %.1f %% unused;", limit*100, r.copied*100, r.unused*100)
			if r.unused > limit || r.copied > before+0.01 {
				t.Errorf("%s with %.2f: %+v", p.name, limit, r)
			}
			before = r.copied
		}
		t.Log(text)
	}
}
