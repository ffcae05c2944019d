package prune

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

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
		l := Limits{MaxUnused: test.unused, MaxRepack: test.repack}
		survey := Look(slices.Values(packs), 32*mib)
		p := survey.Choose(l)
		var got []byte
		for _, u := range p.Repack {
			got = append(got, u.ID[0])
		}
		if !slices.Equal(got, test.want) || p.Unused != test.left || p.Unfinished != test.unfinished || p.Live != 24*mib ||
			len(p.Dead) != 1 || p.Dead[0].ID[0] != 2 {
			t.Errorf("%s: copy %v, %d unused, unfinished %v, dead %v", test.name, got, p.Unused, p.Unfinished, p.Dead)
		}
		if survey.Copies(l) != (len(got) > 0) {
			t.Errorf("%s: Copies is %v", test.name, survey.Copies(l))
		}
	}
}

func TestChooseJoinsSmallPacks(t *testing.T) {
	var packs []index.Usage
	for i := range manySmall {
		packs = append(packs, usage(byte(i), pack.ClassMeta, 1000, 0))
	}
	l := Limits{MaxUnused: 0.1, MaxRepack: -1}
	few, many := Look(slices.Values(packs[1:]), 32<<20), Look(slices.Values(packs), 32<<20)
	if p := few.Choose(l); len(p.Repack) != 0 || few.Copies(l) {
		t.Errorf("%d of few small packs are joined", len(p.Repack))
	}
	if p := many.Choose(l); len(p.Repack) != manySmall || !many.Copies(l) {
		t.Errorf("%d of many small packs are joined", len(p.Repack))
	}
}

func TestYoungSmallPacksWait(t *testing.T) {
	l := Limits{MaxUnused: 0.1, MaxRepack: -1}
	for _, test := range []struct{ young, old, want int }{
		{900, manySmall - 1, 0}, {0, manySmall, manySmall}, {900, manySmall, manySmall}, {900, 100, 100}, {tooManySmall - 1, 0, 0},
		{tooManySmall, 0, tooManySmall}, {tooManySmall - 5, 5, tooManySmall}, {tooManySmall - 100, 99, 99},
	} {
		var packs []index.Usage
		for i := range test.young + test.old {
			u := usage(0, pack.ClassMeta, 1000, 0)
			u.ID = pack.ID{0: byte(i), 1: byte(i >> 8), 31: 1}
			if i < test.young {
				u.ID[31] = 0
			}
			packs = append(packs, u)
		}
		s := Look(slices.Values(packs), 32<<20)
		s.Spare(func(id pack.ID) bool { return id[31] == 0 })
		p := s.Choose(l)
		if len(p.Repack) != test.want || s.Copies(l) != (test.want > 0) {
			t.Errorf("%d of %d young and %d old small packs are joined, want %d", len(p.Repack), test.young, test.old, test.want)
		}
	}
}

func TestNothingToCopy(t *testing.T) {
	survey := Look(slices.Values([]index.Usage{usage(1, pack.ClassData, 100, 0), usage(2, pack.ClassData, 0, 100)}), 100)
	for _, l := range []Limits{{MaxUnused: -1, MaxRepack: -1}, {MaxUnused: 0, MaxRepack: -1}} {
		if p := survey.Choose(l); survey.Copies(l) || len(p.Repack) != 0 || len(p.Dead) != 1 {
			t.Errorf("%+v: copies %v, %+v", l, survey.Copies(l), p)
		}
	}
}

func TestChooseLeavesToDieWhatDiesSoon(t *testing.T) {
	packs := []index.Usage{usage(1, pack.ClassData, 400, 600), usage(2, pack.ClassData, 500, 500), usage(3, pack.ClassData, 9000, 0)}
	survey := Look(slices.Values(packs), 1000)
	survey.Weigh(func(id pack.ID) float64 { return []float64{0, stays[Short], stays[Current]}[id[0]] })
	if p := survey.Choose(Limits{MaxUnused: 0.07, MaxRepack: -1}); len(p.Repack) != 1 || p.Repack[0].ID[0] != 2 {
		t.Errorf("copied: %v", p.Repack)
	}
	if p := survey.Choose(Limits{MaxUnused: 0.01, MaxRepack: -1}); len(p.Repack) != 2 || p.Unused != 0 {
		t.Errorf("copied: %v", p.Repack)
	}
}

// reference chooses like Survey.Choose by looking at all packs for each one that is copied.
func reference(packs []index.Usage, l Limits, stays func(pack.ID) float64) (copied []pack.ID, unused int64, unfinished bool) {
	live, room := int64(0), l.MaxRepack
	var left []index.Usage
	for _, u := range packs {
		live += u.LiveBytes
		if u.LiveBytes > 0 && u.DeadBytes > 0 {
			left, unused = append(left, u), unused+u.DeadBytes
		}
	}
	for float64(unused) > l.MaxUnused*float64(live) && len(left) > 0 {
		best := 0
		for i, u := range left {
			a := float64(u.DeadBytes) * stays(u.ID) / float64(u.LiveBytes)
			b := float64(left[best].DeadBytes) * stays(left[best].ID) / float64(left[best].LiveBytes)
			if a > b || (a == b && bytes.Compare(u.ID[:], left[best].ID[:]) < 0) {
				best = i
			}
		}
		u := left[best]
		left = slices.Delete(left, best, best+1)
		if l.MaxRepack >= 0 && room < u.LiveBytes {
			unfinished = true
			continue
		}
		room -= u.LiveBytes
		copied, unused = append(copied, u.ID), unused-u.DeadBytes
	}
	return copied, unused, unfinished
}

func TestChooseEqualsItsReference(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	for round := range 2000 {
		var packs []index.Usage
		stay := map[pack.ID]float64{}
		for i := range rng.IntN(30) {
			u := usage(byte(i), pack.ClassData, rng.Int64N(4)*int64(rng.IntN(1000)), rng.Int64N(3)*int64(rng.IntN(1000)))
			packs, stay[u.ID] = append(packs, u), 1+rng.Float64()*7
		}
		rng.Shuffle(len(packs), func(i, j int) { packs[i], packs[j] = packs[j], packs[i] })
		weigh := func(id pack.ID) float64 { return stay[id] }
		l := Limits{MaxUnused: rng.Float64() / 2, MaxRepack: rng.Int64N(8000) - 1}
		want, unused, unfinished := reference(packs, l, weigh)
		survey := Look(slices.Values(packs), 0)
		survey.Weigh(weigh)
		p := survey.Choose(l)
		var got []pack.ID
		for _, u := range p.Repack {
			got = append(got, u.ID)
		}
		if !slices.Equal(got, want) || p.Unused != unused || p.Unfinished != unfinished {
			t.Fatalf("round %d: copied %v, want %v; unused %d, want %d; unfinished %v", round, got, want, p.Unused, unused, p.Unfinished)
		}
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
	last, until := Plan{}, lastDays(500, kept)
	stream := func(s *segment, day int) Stream {
		if s.died == never {
			return Current
		}
		left := 0
		for _, d := range kept(day) {
			if s.born <= d && d < s.died {
				left = max(left, until[d]-day)
			}
		}
		return StreamFor(time.Duration(left) * 24 * time.Hour)
	}
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
		number := func(id pack.ID) int { return int(id[0]) | int(id[1])<<8 | int(id[2])<<16 }
		survey := Look(slices.Values(all), perPack*bytes)
		survey.Weigh(func(id pack.ID) float64 {
			sum, n := 0.0, 0.0
			for _, s := range packs[number(id)] {
				if needed(s) {
					sum, n = sum+stays[stream(s, day)], n+1
				}
			}
			return sum / n
		})
		last = survey.Choose(Limits{MaxUnused: maxUnused, MaxRepack: -1})
		gone := map[int]bool{}
		for _, d := range last.Dead {
			gone[number(d.ID)] = true
		}
		for _, u := range last.Repack {
			gone[number(u.ID)] = true
			for _, s := range packs[number(u.ID)] {
				if needed(s) {
					put(stream(s, day), s)
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

// lastDays returns for each day the last one on which its snapshot is there.
func lastDays(days int, kept func(day int) []int) []int {
	last := make([]int, days)
	for day := range days {
		for _, d := range kept(day) {
			if d < day {
				last[d] = day
			}
		}
	}
	return last
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
