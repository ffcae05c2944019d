package retention

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"
)

// TestWhatNeverGoes checks the promises that hold for every policy, on random
// histories with every trouble.
func TestWhatNeverGoes(t *testing.T) {
	t.Parallel()
	for seed := range histories(t, 300) {
		r := newRand(seed)
		p := randomPolicy(r)
		now, snapshots, o := randomHistory(r)
		if p.Validate() != nil {
			continue
		}
		input := slices.Clone(snapshots)
		decisions := apply(t, p, now, snapshots, o)
		if !reflect.DeepEqual(snapshots, input) {
			t.Fatalf("seed %d: the input was changed", seed)
		}
		left := map[string]int{}
		newestGood := map[string]bool{}
		for _, d := range decisions {
			s := d.Snapshot
			if d.Keep {
				left[s.Source]++
			}
			good := !s.Suspicious && !s.Partial && !hasRule(d, RuleMisdated)
			first := good && !newestGood[s.Source]
			newestGood[s.Source] = newestGood[s.Source] || good
			if !d.Keep && (s.Pinned || first || !newestGood[s.Source] && s.Suspicious) {
				t.Fatalf("seed %d: policy %v lets %+v go", seed, p, s)
			}
		}
		for _, s := range snapshots {
			if left[s.Source] == 0 {
				t.Fatalf("seed %d: policy %v removes all of %s", seed, p, s.Source)
			}
		}
		checkIndependence(t, seed, p, now, snapshots, o, decisions)
	}
}

// checkIndependence: the order of the list, other sources, and a later now do
// not matter.
func checkIndependence(t *testing.T, seed int, p Policy, now time.Time, snapshots []Snapshot, o Options, want []Decision) {
	t.Helper()
	shuffled := slices.Clone(snapshots)
	newRand(seed).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	if got := apply(t, p, now, shuffled, o); !reflect.DeepEqual(got, want) {
		t.Fatalf("seed %d: decisions depend on the order of the list", seed)
	}
	one := slices.DeleteFunc(shuffled, func(s Snapshot) bool { return s.Source != "a" })
	n := slices.IndexFunc(want, func(d Decision) bool { return d.Snapshot.Source != "a" })
	if n < 0 {
		n = len(want)
	}
	if got := apply(t, p, now, one, o); !reflect.DeepEqual(got, want[:n]) {
		t.Fatalf("seed %d: decisions depend on other sources", seed)
	}
	o.Clocks = nil
	if now.Before(want[0].Snapshot.Time) {
		return
	}
	got, later := apply(t, p, now, one, o), apply(t, p, now.AddDate(10, 0, 0), one, o)
	if !reflect.DeepEqual(got, later) {
		t.Fatalf("seed %d: a clock that is ten years ahead changes what goes", seed)
	}
}

func TestApplyRefusesSnapshots(t *testing.T) {
	t.Parallel()
	now := at(t, "UTC", "2026-07-01 00:00")
	good := series("s", now)
	for name, list := range map[string][]Snapshot{
		"twice":     append(series("s", now), good...),
		"no source": {{ID: numbered(1), Time: now}},
	} {
		if _, err := Apply(DefaultPolicy(), now, list, Options{}); !errors.Is(err, ErrInvalidSnapshot) {
			t.Errorf("%s: %v, want ErrInvalidSnapshot", name, err)
		}
	}
	if got := apply(t, DefaultPolicy(), now, nil, Options{}); len(got) != 0 {
		t.Errorf("%d decisions about nothing", len(got))
	}
}

// Clocks that lie stop removal and cause none.
func TestLyingClocks(t *testing.T) {
	t.Parallel()
	start := at(t, "UTC", "2025-01-01 03:00")
	all := series("s", daily(start, 500)...)
	now := all[499].Time.Add(time.Hour)
	honest := keptIDs(apply(t, DefaultPolicy(), now, all, Options{}))
	stamped := func(t time.Time) []Snapshot {
		return append(slices.Clone(all), Snapshot{ID: numbered(9999), Source: "s", Time: t, Sequence: 501})
	}
	other := Snapshot{ID: numbered(8888), Source: "other", Time: now}
	old := Snapshot{ID: numbered(7777), Source: "other", Time: now.AddDate(-1, 0, 0)}
	for _, test := range []struct {
		name string
		now  time.Time
		list []Snapshot
		o    Options
		hold Rule
	}{
		{"now 10 years behind", now.AddDate(-10, 0, 0), all, Options{}, RuleHoldFuture},
		{"now 1 day behind", now.AddDate(0, 0, -1), all, Options{}, RuleHoldFuture},
		{"snapshot 10 years ahead", now, stamped(now.AddDate(10, 0, 0)), Options{}, RuleHoldFuture},
		{"snapshot 6 minutes ahead", now, stamped(now.Add(6 * time.Minute)), Options{}, RuleHoldFuture},
		{"store 6 minutes ahead", now, all, Options{Clocks: []time.Time{now, now.Add(6 * time.Minute)}}, RuleHoldClock},
		{"store 10 years behind", now, all, Options{Clocks: []time.Time{now.AddDate(-10, 0, 0)}}, RuleHoldClock},
	} {
		decisions := apply(t, DefaultPolicy(), test.now, append(test.list, other, old), test.o)
		for _, d := range decisions {
			if d.Snapshot.Source == "s" && (!d.Keep || !hasRule(d, test.hold)) {
				t.Fatalf("%s: keep %v with %v", test.name, d.Keep, d.Reasons)
			}
		}
		if test.name == "snapshot 10 years ahead" && hasRule(decisions[0], test.hold) {
			t.Errorf("%s: another source is held as well", test.name)
		}
	}
	for _, test := range []struct {
		name string
		now  time.Time
		list []Snapshot
	}{
		{"now 10 years ahead", now.AddDate(10, 0, 0), all},
		{"store 4 minutes ahead", now, all},
		{"snapshot 10 years behind", now, stamped(now.AddDate(-10, 0, 0))},
		{"snapshot of 1970", now, stamped(time.Unix(0, 0))},
	} {
		got := keptIDs(apply(t, DefaultPolicy(), test.now, test.list, Options{Clocks: []time.Time{test.now.Add(4 * time.Minute)}}))
		if len(test.list) > len(all) && !got[numbered(9999)] {
			t.Errorf("%s: the snapshot goes", test.name)
		}
		delete(got, numbered(9999))
		if !maps.Equal(got, honest) {
			t.Errorf("%s: %d stay, want %d", test.name, len(got), len(honest))
		}
	}
}

// A source that goes wrong on day 100 and stays so for 400 days loses no good
// snapshot, whether its removal is held or not.
func TestBadSeriesAgesOutNothing(t *testing.T) {
	t.Parallel()
	start := at(t, "UTC", "2025-01-01 03:00")
	times := daily(start, 500)
	for _, test := range []struct {
		name    string
		spoil   func(*Snapshot)
		release bool
	}{
		{"suspicious", func(s *Snapshot) { s.Suspicious = true }, false},
		{"suspicious, released", func(s *Snapshot) { s.Suspicious = true }, true},
		{"partial", func(s *Snapshot) { s.Partial = true }, false},
		{"misdated", func(s *Snapshot) { s.Time = s.Time.AddDate(-30, 0, 0) }, false},
	} {
		all := series("s", times...)
		var good, left []Snapshot
		for i, s := range all {
			if i >= 100 {
				test.spoil(&s)
			}
			left = kept(apply(t, DefaultPolicy(), times[i], append(left, s), Options{ReleaseSuspicious: test.release}))
			if i == 99 {
				good = left
			}
		}
		for _, g := range good {
			if !slices.ContainsFunc(left, func(s Snapshot) bool { return s.ID == g.ID }) {
				t.Errorf("%s: the good snapshot of %v is gone", test.name, g.Time)
			}
		}
		if test.name == "partial" && len(left) > 2*25 {
			t.Errorf("%d left, so partial snapshots are not thinned", len(left))
		}
	}
}

// Suspicious and partial snapshots go once a good one is 30 days newer.
func TestGrace(t *testing.T) {
	t.Parallel()
	start := at(t, "UTC", "2025-01-01 03:00")
	for _, days := range []int{1, 29, 30, 31} {
		all := series("s", start, start.AddDate(0, 0, 1), start.AddDate(0, 0, 1+days))
		for _, partial := range []bool{false, true} {
			all[1].Suspicious, all[1].Partial = !partial, partial
			decisions := apply(t, Policy{KeepLast: 1}, all[2].Time, all, Options{})
			if got, want := decisions[1].Keep, days < 30; got != want {
				t.Errorf("%d days later, partial %v: keep %v, want %v", days, partial, got, want)
			}
			if decisions[2].Keep {
				t.Errorf("the good one before it takes the slot")
			}
		}
	}
}

func TestSuspiciousNewestHolds(t *testing.T) {
	t.Parallel()
	all := series("s", daily(at(t, "UTC", "2025-01-01 03:00"), 50)...)
	all[49].Suspicious = true
	now := all[49].Time
	if got := len(kept(apply(t, Policy{KeepLast: 1}, now, all, Options{}))); got != 50 {
		t.Errorf("%d kept while held, want 50", got)
	}
	left := kept(apply(t, Policy{KeepLast: 1}, now, all, Options{ReleaseSuspicious: true}))
	if len(left) != 2 || left[0].ID != all[49].ID || left[1].ID != all[48].ID {
		t.Errorf("%d kept after release, want the newest and the newest good one", len(left))
	}
}

// A mistyped tag removes nothing from a source that it does not match.
func TestMistypedTag(t *testing.T) {
	t.Parallel()
	all := series("s", daily(at(t, "UTC", "2025-01-01 03:00"), 10)...)
	all[3].Tags = []string{"keep", "x"}
	now := all[9].Time
	for _, test := range []struct {
		tags      []string
		left      int
		unmatched []string
	}{
		{[]string{"kepe"}, 10, []string{"kepe"}},
		{[]string{"keep"}, 2, nil},
		{[]string{"keep,x"}, 2, nil},
		{[]string{"keep,y"}, 10, []string{"keep,y"}},
		{[]string{"keep", "kepe"}, 2, []string{"kepe"}},
		{[]string{""}, 9, nil},
	} {
		p := Policy{KeepTags: test.tags}
		if got := len(kept(apply(t, p, now, all, Options{}))); got != test.left {
			t.Errorf("tags %q: %d left, want %d", test.tags, got, test.left)
		}
		if got := UnmatchedTags(p, all); !slices.Equal(got, test.unmatched) {
			t.Errorf("tags %q: unmatched %q, want %q", test.tags, got, test.unmatched)
		}
	}
}

// A clock that is set back by minutes between two runs makes nothing misdated.
func TestSmallStepsBackAreIgnored(t *testing.T) {
	t.Parallel()
	start := at(t, "UTC", "2025-01-01 03:00")
	for minutes, want := range map[int]bool{0: false, -4: false, -5: false, -6: true} {
		all := series("s", start, start.Add(time.Duration(minutes)*time.Minute), start.AddDate(0, 0, 1))
		misdated := false
		for _, d := range apply(t, Policy{KeepLast: 5}, all[2].Time, all, Options{}) {
			misdated = misdated || hasRule(d, RuleMisdated)
		}
		if misdated != want {
			t.Errorf("%d minutes: misdated is %v, want %v", minutes, misdated, want)
		}
	}
}

// The newest partial snapshot stays beside the newest good one while it is the
// newer of the two, even if no rule asks for either.
func TestNewestPartialStays(t *testing.T) {
	t.Parallel()
	all := series("s", daily(at(t, "UTC", "2025-01-01 03:00"), 6)...)
	all[0].Tags = []string{"keep"}
	all[1].Partial, all[3].Partial, all[4].Partial = true, true, true
	p := Policy{KeepTags: []string{"keep"}}
	for n, want := range map[int][]int{5: {4, 2, 0}, 6: {5, 0}} {
		left := kept(apply(t, p, all[5].Time, all[:n], Options{}))
		var ids []ID
		for _, i := range want {
			ids = append(ids, all[i].ID)
		}
		if !slices.EqualFunc(left, ids, func(s Snapshot, id ID) bool { return s.ID == id }) {
			t.Errorf("of %d snapshots %d stay, want %v", n, len(left), want)
		}
	}
}
