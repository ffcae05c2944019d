package retention

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// A simulation is what Apply does day by day.
func TestSimulateAgreesWithApply(t *testing.T) {
	t.Parallel()
	for _, p := range []Policy{
		DefaultPolicy(),
		{KeepLast: 3, KeepHourly: 5, KeepWeekly: 2, KeepYearly: All, Zone: "America/Sao_Paulo"},
		{KeepWithin: Duration{Days: 2}, KeepWithinWeekly: Duration{Months: 2}, Overlap: true, Zone: "Europe/Berlin"},
		{KeepTags: []string{"x"}},
	} {
		zone, err := p.location()
		if err != nil {
			t.Fatal(err)
		}
		start := time.Date(2018, 6, 1, 12, 0, 0, 0, zone)
		sim, err := Simulate(p, SimulationOptions{Start: start, Years: 1, RunsPerDay: 3})
		if err != nil {
			t.Fatal(err)
		}
		if len(sim.Days) != 365 || len(sim.Nights) != 365 {
			t.Fatalf("%d days and %d nights", len(sim.Days), len(sim.Nights))
		}
		p.KeepTags = nil
		if !p.counting() {
			p.KeepLast = 1
		}
		var left []Snapshot
		for n, night := range sim.Nights {
			for r, hour := range []int{4, 12, 20} {
				made := time.Date(2018, 6, 1+n, hour, 0, 0, 0, zone)
				left = append(left, Snapshot{ID: numbered(3*n + r), Source: "s", Time: made})
			}
			left = kept(apply(t, p, left[len(left)-1].Time, left, Options{}))
			if len(left) != night.Kept {
				t.Fatalf("%v: night %d: %d kept, want %d", p, n, night.Kept, len(left))
			}
		}
		total := 0
		for _, d := range sim.Days {
			total += d.Kept
			if d.Made != 3 || (d.Kept > 0) != (d.Rule != "") {
				t.Errorf("%v: %+v", p, d)
			}
		}
		if total != len(left) {
			t.Errorf("%v: the calendar has %d, want %d", p, total, len(left))
		}
	}
}

func TestSimulateRefuses(t *testing.T) {
	t.Parallel()
	for _, o := range []SimulationOptions{
		{Years: 0}, {Years: -1}, {Years: 101}, {Years: 1, RunsPerDay: -1}, {Years: 1, RunsPerDay: 97}, {Years: 100, RunsPerDay: 96},
	} {
		if _, err := Simulate(DefaultPolicy(), o); !errors.Is(err, ErrInvalidSimulation) {
			t.Errorf("Simulate(%+v): %v, want ErrInvalidSimulation", o, err)
		}
	}
	if _, err := Simulate(Policy{}, SimulationOptions{Years: 1}); !errors.Is(err, ErrEmptyPolicy) {
		t.Errorf("Simulate of an empty policy: %v", err)
	}
}

// Every rule has a letter, and no two the same.
func TestCalendarLetters(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	d := Duration{Days: 1}
	all := Policy{1, 1, 1, 1, 1, 1, 1, d, d, d, d, d, d, nil, false, ""}
	for _, l := range append(all.levels(), level{countRule: RuleLast, withinRule: RuleWithin}, level{countRule: RuleOldest}) {
		for _, rule := range []Rule{l.countRule, l.withinRule} {
			if rule == "" {
				continue
			}
			letter := letterOf(rule, false)
			name := strings.TrimPrefix(string(rule), "within_")
			if letter == "." || seen[letter] != "" && seen[letter] != name {
				t.Errorf("%s has the letter %s, as has %s", rule, letter, seen[letter])
			}
			seen[letter] = name
		}
	}
}
