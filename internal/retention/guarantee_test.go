package retention

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// TestGuaranteeOfDefaultPolicy runs a daily history over 400 years, after which
// the calendar repeats, and checks each evening what the package comment
// promises.
func TestGuaranteeOfDefaultPolicy(t *testing.T) {
	t.Parallel()
	years := 28 // every position of the leap year against the week
	if histories(t, 0) > 0 {
		years = 402
	}
	sim := simulator{chooser: newChooser(DefaultPolicy(), time.UTC), runs: 1,
		first: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}
	low, high := SimulatedNight{1 << 30, 1 << 30}, SimulatedNight{}
	for n := range years * 366 {
		night := sim.runDay(n)
		if night.OldestDays != n && night.OldestDays < 369 {
			t.Fatalf("day %d: the oldest is %d days old", n, night.OldestDays)
		}
		if n < 407 {
			continue
		}
		low = SimulatedNight{min(low.Kept, night.Kept), min(low.OldestDays, night.OldestDays)}
		high = SimulatedNight{max(high.Kept, night.Kept), max(high.OldestDays, night.OldestDays)}
		checkGuarantee(t, sim, n)
	}
	t.Logf("%d years: %d to %d kept, the oldest %d to %d days old", years, low.Kept, high.Kept, low.OldestDays, high.OldestDays)
	if low != (SimulatedNight{23, 369}) || high != (SimulatedNight{25, 406}) {
		t.Errorf("kept and age are %v to %v; want {23 369} to {25 406}", low, high)
	}
}

// checkGuarantee checks counts and distances of one evening.
func checkGuarantee(t *testing.T, sim simulator, n int) {
	t.Helper()
	numbers := map[Rule]int{}
	ends := map[Rule]int{}
	sim.choose(sim.items, func(i int, m mark) {
		if m.number > 0 {
			numbers[m.rule]++
			ends[m.rule] = i
		}
	})
	if want := (map[Rule]int{RuleDaily: 7, RuleWeekly: 4, RuleMonthly: 12}); !maps.Equal(numbers, want) {
		t.Fatalf("day %d: counted %v, want %v", n, numbers, want)
	}
	for i := 1; i < len(sim.items); i++ {
		limit := 31
		if i <= ends[RuleWeekly] {
			limit = 7
		}
		if i <= ends[RuleDaily] {
			limit = 1
		}
		if gap := sim.items[i-1].origin - sim.items[i].origin; gap > limit {
			t.Fatalf("day %d: %d days between snapshots %d and %d", n, gap, i-1, i)
		}
	}
}

// TestOrderOfWorkDoesNotMatter shows that forgetting often keeps exactly what
// forgetting once would keep, for histories that arrive in order.
func TestOrderOfWorkDoesNotMatter(t *testing.T) {
	t.Parallel()
	for seed := range histories(t, 300) {
		r := newRand(seed)
		p := randomPolicy(r)
		p.KeepTags = nil
		if !p.windowless() {
			p.Zone, p.Overlap = "UTC", false // see the package comment
		}
		if p.Validate() != nil {
			continue
		}
		times := append(randomTimes(r), randomTimes(r)...)
		slices.SortFunc(times, time.Time.Compare)
		all := series("s", times...)
		now := times[len(times)-1]
		want := keptIDs(apply(t, p, now, all, Options{}))
		often := 1 + r.IntN(4)
		var left []Snapshot
		for i, s := range all {
			left = append(left, s)
			if r.IntN(often) == 0 || i == len(all)-1 {
				left = kept(apply(t, p, s.Time, left, Options{}))
			}
		}
		got := map[ID]bool{}
		for _, s := range left {
			got[s.ID] = true
		}
		if !maps.Equal(got, want) {
			t.Fatalf("seed %d: policy %v: %d left after many runs, %d after one", seed, p, len(got), len(want))
		}
	}
}

func (p Policy) windowless() bool {
	return !slices.ContainsFunc(p.spans(), func(f spanField) bool { return !f.value.IsZero() })
}

// TestNightsOfChangingClocks makes snapshots at the odd hours of such nights
// and asks for one of each local day and each hour that passed.
func TestNightsOfChangingClocks(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		zone, night string
		hours       int // that pass between the midnights around the night, 3 days
	}{
		{"Europe/Berlin", "2026-03-29 00:00", 71},
		{"Europe/Berlin", "2026-10-25 00:00", 73},
		{"America/New_York", "2026-11-01 00:00", 73},
		{"America/Sao_Paulo", "2018-02-17 00:00", 73},  // back at midnight
		{"America/Sao_Paulo", "2018-11-03 00:00", 71},  // no midnight on the 4th
		{"America/St_Johns", "2010-11-07 00:00", 74},   // back at 00:01: one minute is an hour of its own
		{"Africa/Casablanca", "2026-02-15 00:00", 73},  // Ramadan
		{"Asia/Kathmandu", "2026-03-29 00:00", 72},     // never
		{"Australia/Lord_Howe", "2026-04-05 00:00", 0}, // by half an hour
		{"Pacific/Apia", "2011-12-29 00:00", 48},       // 30 December did not exist
	} {
		night := at(t, test.zone, test.night)
		zone := night.Location()
		for _, minute := range []int{0, 1, 30, 59, 2*60 + 30, 12 * 60, 23*60 + 30, 23*60 + 59} {
			checkLocalDays(t, zone, night, minute)
		}
		if test.hours == 0 {
			continue
		}
		start := time.Date(night.Year(), night.Month(), night.Day()-1, 0, 0, 0, 0, zone)
		end := time.Date(night.Year(), night.Month(), night.Day()+2, 0, 0, 0, 0, zone)
		var times []time.Time
		for at := start; at.Before(end); at = at.Add(15 * time.Minute) {
			times = append(times, at)
		}
		p := Policy{KeepHourly: 1000, Zone: test.zone}
		if got := counted(apply(t, p, end, series("s", times...), Options{}), RuleHourly); got != test.hours {
			t.Errorf("%s %s: %d hours, want %d", test.zone, test.night, got, test.hours)
		}
	}
}

// checkLocalDays makes a snapshot on each of 14 local days, at one time of the
// clock, and expects that none shares a day with another.
func checkLocalDays(t *testing.T, zone *time.Location, night time.Time, minute int) {
	t.Helper()
	var times []time.Time
	dates := map[string]bool{}
	for n := -7; n < 7; n++ {
		s := time.Date(night.Year(), night.Month(), night.Day()+n, 0, minute, 0, 0, zone)
		if date := s.Format(time.DateOnly); !dates[date] {
			dates[date] = true
			times = append(times, s)
		}
	}
	p := Policy{KeepDaily: 1000, Zone: zone.String()}
	decisions := apply(t, p, times[len(times)-1], series("s", times...), Options{})
	if got := counted(decisions, RuleDaily); got != len(dates) {
		t.Errorf("%v at minute %d: %d days, want %d", zone, minute, got, len(dates))
	}
	for _, d := range decisions {
		if got, want := d.Reasons[0].Period, d.Snapshot.Time.In(zone).Format(time.DateOnly); got != want {
			t.Errorf("%v: period %s, want %s", zone, got, want)
		}
	}
}

// A source that rests for two years keeps its history.
func TestLongRestLosesNothing(t *testing.T) {
	t.Parallel()
	start := at(t, "UTC", "2024-01-01 03:00")
	all := series("s", daily(start, 600)...)
	before := apply(t, DefaultPolicy(), start.AddDate(0, 0, 599), all, Options{})
	later := apply(t, DefaultPolicy(), start.AddDate(2, 0, 599), all, Options{})
	if !maps.Equal(keptIDs(before), keptIDs(later)) {
		t.Errorf("kept %d before the rest and %d after it", len(kept(before)), len(kept(later)))
	}
	back := append(kept(before), Snapshot{ID: numbered(9999), Source: "s", Time: start.AddDate(2, 0, 599)})
	after := apply(t, DefaultPolicy(), start.AddDate(2, 0, 599), back, Options{})
	if got, want := len(kept(after)), len(back)-2; got < want {
		t.Errorf("the first run after the rest left %d of %d", got, len(back))
	}
}
