package retention

import (
	"fmt"
	"time"
)

// Limits of a simulation.
const (
	maxSimulationYears = 100
	maxRunsPerDay      = 96
	maxSimulationRuns  = 200_000
)

// SimulationOptions describes the history that is simulated.
type SimulationOptions struct {
	Start      time.Time // its date in the policy's zone is the first day
	Years      int       // 1 to 100
	RunsPerDay int       // 1 to 96, evenly over the day; 0 means 1
}

// Simulation is what a policy makes of a regular history.
type Simulation struct {
	Policy Policy
	// Days has one entry for each day of the history, oldest first, as it is
	// after the last run.
	Days []SimulatedDay
	// Nights has one entry for each day too: the state after that day.
	Nights []SimulatedNight
}

// SimulatedDay tells what is left of the snapshots of one day.
type SimulatedDay struct {
	Date time.Time // midnight UTC of the local date
	Made int
	Kept int
	Rule Rule // the coarsest rule that keeps one; empty if none is kept
	// Waits is set where that rule does not count the snapshot yet.
	Waits bool
}

// SimulatedNight is the state after one day.
type SimulatedNight struct {
	Kept       int
	OldestDays int // age of the oldest kept snapshot in days
}

// Simulate runs the policy over good snapshots made at regular hours, applying
// it after each day. The errors are those of [Policy.Validate] and
// ErrInvalidSimulation. A policy that has only tags keeps the newest snapshot.
func Simulate(p Policy, o SimulationOptions) (Simulation, error) {
	if err := p.Validate(); err != nil {
		return Simulation{}, err
	}
	zone, err := p.location()
	if err != nil {
		return Simulation{}, err
	}
	if o.RunsPerDay == 0 {
		o.RunsPerDay = 1
	}
	if o.Years < 1 || o.Years > maxSimulationYears || o.RunsPerDay < 0 || o.RunsPerDay > maxRunsPerDay ||
		o.Years*366*o.RunsPerDay > maxSimulationRuns {
		return Simulation{}, fmt.Errorf("%w: want 1 to %d years with 1 to %d runs a day, and at most %d runs",
			ErrInvalidSimulation, maxSimulationYears, maxRunsPerDay, maxSimulationRuns)
	}
	y, m, d := o.Start.In(zone).Date()
	sim := simulator{chooser: newChooser(p, zone), first: time.Date(y, m, d, 0, 0, 0, 0, time.UTC), runs: o.RunsPerDay}
	days := int(sim.first.AddDate(o.Years, 0, 0).Sub(sim.first) / (24 * time.Hour))
	out := Simulation{Policy: p, Nights: make([]SimulatedNight, days)}
	for n := range days {
		out.Nights[n] = sim.runDay(n)
	}
	out.Days = sim.calendar(days)
	return out, nil
}

// simulator holds what is kept so far, newest first; the origin of an item is
// the number of its day.
type simulator struct {
	*chooser
	first time.Time
	runs  int
	items []item
}

// runDay adds the snapshots of day n and lets go what the policy lets go.
func (s *simulator) runDay(n int) SimulatedNight {
	date := s.first.AddDate(0, 0, n)
	next := make([]item, 0, len(s.items)+s.runs)
	for r := s.runs - 1; r >= 0; r-- {
		minute := (24*60*r + 12*60) / s.runs
		t := time.Date(date.Year(), date.Month(), date.Day(), 0, minute, 0, 0, s.zone)
		next = append(next, newItem(t, s.zone, n))
	}
	next = append(next, s.items...)
	kept := make([]bool, len(next))
	kept[0] = true
	s.choose(next, func(i int, _ mark) { kept[i] = true })
	s.items = next[:0]
	for i, it := range next {
		if kept[i] {
			s.items = append(s.items, it)
		}
	}
	return SimulatedNight{Kept: len(s.items), OldestDays: n - s.items[len(s.items)-1].origin}
}

// calendar returns the days as they are at the end.
func (s *simulator) calendar(days int) []SimulatedDay {
	all := make([]SimulatedDay, days)
	for n := range all {
		all[n] = SimulatedDay{Date: s.first.AddDate(0, 0, n), Made: s.runs}
	}
	for _, it := range s.items {
		all[it.origin].Kept++
	}
	all[s.items[0].origin].Rule = RuleNewest
	coarsest := make([]mark, len(s.items))
	s.choose(s.items, func(i int, m mark) {
		if prior := coarsest[i]; prior.rule == "" || !m.waits() || prior.waits() {
			coarsest[i] = m
		}
	})
	for i := len(s.items) - 1; i >= 0; i-- {
		if m := coarsest[i]; m.rule != "" {
			day := &all[s.items[i].origin]
			day.Rule, day.Waits = m.rule, m.waits()
		}
	}
	return all
}

// waits reports whether the mark is that of a period which is not counted yet.
func (m mark) waits() bool { return m.number == 0 && m.within.IsZero() && m.rule != RuleOldest }
