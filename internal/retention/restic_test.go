package retention

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// resticKeeps counts as restic's manual describes: a rule for n days (hours,
// weeks, …) takes the last n days that have a snapshot and keeps the most
// recent of each; a window counts from the latest snapshot; where a rule wants
// more than there is, the oldest snapshot stays too; all rules are ORed.
func resticKeeps(p Policy, zone *time.Location, snapshots []Snapshot) map[ID]bool {
	ordered := slices.Clone(snapshots)
	slices.SortFunc(ordered, func(a, b Snapshot) int {
		if newerThan(a, b) {
			return -1
		}
		return 1
	})
	keep := map[ID]bool{}
	last := len(ordered) - 1
	for _, tr := range p.tiers() {
		var recent []Snapshot
		for i, s := range ordered {
			name := label(tr.unit, s.Time.In(zone))
			if tr.unit == "" {
				name = fmt.Sprint(i)
			}
			if !slices.ContainsFunc(ordered[:i], func(o Snapshot) bool {
				return tr.unit != "" && label(tr.unit, o.Time.In(zone)) == name
			}) {
				recent = append(recent, s)
			}
		}
		if tr.count == All || tr.count > len(recent) {
			keep[ordered[last].ID] = true
			tr.count = len(recent)
		}
		for _, s := range recent[:tr.count] {
			keep[s.ID] = true
		}
		if tr.within == (Duration{}) {
			continue
		}
		start := slowBefore(tr.within, ordered[0].Time.In(zone))
		for _, s := range append(recent, ordered[last]) {
			if s.Time.After(start) {
				keep[s.ID] = true
			}
		}
	}
	return keep
}

func TestOverlapCountsAsRestic(t *testing.T) {
	t.Parallel()
	for seed := range histories(t, 300) {
		r := newRand(seed)
		p := randomPolicy(r)
		p.Overlap, p.KeepTags = true, nil
		if p.Validate() != nil {
			continue
		}
		zone, err := p.location()
		if err != nil {
			t.Fatal(err)
		}
		times := randomTimes(r)
		snapshots := series("s", times...)
		got := keptIDs(apply(t, p, times[len(times)-1], snapshots, Options{}))
		if want := resticKeeps(p, zone, snapshots); !maps.Equal(got, want) {
			t.Fatalf("seed %d: policy %v keeps %d, want %d", seed, p, len(got), len(want))
		}
	}
}

// The figures that restic's manual gives for its rule.
func TestOverlapAgreesWithResticsManual(t *testing.T) {
	t.Parallel()
	var sundays []time.Time
	for i := range 12 {
		sundays = append(sundays, at(t, "UTC", "2019-09-01 11:00").AddDate(0, 0, 7*i))
	}
	hundredYears := daily(at(t, "UTC", "1924-01-01 01:00"), 36525)
	for _, test := range []struct {
		name     string
		policy   Policy
		times    []time.Time
		min, max int
	}{
		{"daily 4 of 12 Sundays", Policy{KeepDaily: 4}, sundays, 4, 4},
		{"monthly 4 of 12 Sundays", Policy{KeepMonthly: 4}, sundays, 4, 4}, // 3 months and the oldest
		{"7/5/12/75 of 100 years", Policy{KeepDaily: 7, KeepWeekly: 5, KeepMonthly: 12, KeepYearly: 75}, hundredYears,
			7 + 4 + 11 + 74, 7 + 4 + 12 + 75},
		{"last 3", Policy{KeepLast: 3}, sundays, 3, 3},
		{"within 14 days", Policy{KeepWithin: Duration{Days: 14}}, sundays, 2, 2},
	} {
		test.policy.Overlap = true
		got := kept(apply(t, test.policy, test.times[len(test.times)-1], series("s", test.times...), Options{}))
		if len(got) < test.min || len(got) > test.max {
			t.Errorf("%s: %d kept, want %d to %d", test.name, len(got), test.min, test.max)
		}
	}
}
