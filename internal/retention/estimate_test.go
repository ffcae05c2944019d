package retention

import (
	"testing"
	"time"
)

// For a source that does go on in its rhythm the estimate is the day on which
// the snapshot goes.
func TestEstimateComesTrue(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		policy Policy
		step   func(t time.Time) time.Time
		runs   int
	}{
		{"7/4/12 daily", DefaultPolicy(), func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }, 500},
		{"7/4/12 daily in Berlin", Policy{KeepDaily: 7, KeepWeekly: 4, KeepMonthly: 12, Zone: "Europe/Berlin"},
			func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }, 500},
		{"last 5, within 2d, hourly 30", Policy{KeepLast: 5, KeepWithin: Duration{Days: 2}, KeepHourly: 30},
			func(t time.Time) time.Time { return t.Add(3 * time.Hour) }, 300},
		{"weekly runs", Policy{KeepWeekly: 5, KeepQuarterly: 3}, func(t time.Time) time.Time { return t.AddDate(0, 0, 7) }, 120},
		{"weekly 4 of daily runs", Policy{KeepWeekly: 4, KeepMonthly: 6}, func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }, 300},
		{"overlap", Policy{KeepDaily: 7, KeepWeekly: 4, KeepMonthly: 3, Overlap: true},
			func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }, 200},
	} {
		checkEstimates(t, test.name, test.policy, test.step, test.runs)
	}
}

func checkEstimates(t *testing.T, name string, p Policy, step func(time.Time) time.Time, runs int) {
	t.Helper()
	zone, err := p.location()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 5, 3, 0, 0, 0, zone)
	var left []Snapshot
	var forecast []Decision
	gone := map[ID]time.Time{}
	for i := range 2 * runs {
		left = append(left, Snapshot{ID: numbered(i), Source: "s", Time: now})
		if p.KeepDaily == 0 { // else the numbers are unknown
			left[len(left)-1].Sequence = uint64(i + 1)
		}
		decisions := apply(t, p, now, left, Options{Estimate: i == runs})
		if i == runs {
			forecast = decisions
		}
		for _, d := range decisions {
			if !d.Keep {
				gone[d.Snapshot.ID] = now
			}
		}
		left = kept(decisions)
		now = step(now)
	}
	known := 0
	for _, d := range forecast {
		if !d.Keep {
			continue
		}
		if d.Outlook != OutlookAbout {
			t.Errorf("%s: %v is %q, want about", name, d.Snapshot.Time, d.Outlook)
		}
		if when, ok := gone[d.Snapshot.ID]; ok {
			known++
			if !when.Equal(d.Until) {
				t.Errorf("%s: %v goes at %v, estimate %v", name, d.Snapshot.Time, when, d.Until)
			}
		}
	}
	if known < 5 {
		t.Errorf("%s: only %d estimates could be checked", name, known)
	}
}

func TestOutlooks(t *testing.T) {
	t.Parallel()
	start := at(t, "UTC", "2026-01-01 03:00")
	all := series("s", daily(start, 30)...)
	all[0].Pinned = true
	all[1].Tags = []string{"keep"}
	all[28].Suspicious = true
	now := all[29].Time
	p := Policy{KeepDaily: 2, KeepMonthly: All, KeepTags: []string{"keep"}}
	got := map[ID]Decision{}
	for _, d := range apply(t, p, now, all, Options{Estimate: true}) {
		got[d.Snapshot.ID] = d
	}
	for i, want := range map[int]Outlook{0: OutlookForever, 1: OutlookForever, 28: OutlookAbout, 29: OutlookAbout, 10: OutlookUnknown} {
		if d := got[all[i].ID]; d.Outlook != want {
			t.Errorf("snapshot %d: %q (%v), want %q", i, d.Outlook, d.Reasons, want)
		}
	}
	if until := got[all[28].ID].Until; !until.Equal(all[28].Time.Add(Grace)) {
		t.Errorf("the suspicious one stays until %v", until)
	}
	// The end of a month stays for ever, its last but one day does not.
	all = series("s", daily(start, 33)...)
	for _, d := range apply(t, p, all[32].Time, all, Options{Estimate: true}) {
		if d.Keep && (d.Outlook == OutlookForever) != (d.Snapshot.ID == all[30].ID || d.Snapshot.ID == all[0].ID) {
			t.Errorf("%v: %q (%v)", d.Snapshot.Time, d.Outlook, d.Reasons)
		}
	}
	// What is held has no outlook, and a rule beyond the budget an open one.
	for _, d := range apply(t, p, now.AddDate(-1, 0, 0), all, Options{Estimate: true}) {
		if d.Outlook != OutlookUnknown {
			t.Errorf("held, but %q", d.Outlook)
		}
	}
	// After a rest nothing was due in the past.
	for _, d := range apply(t, Policy{KeepLast: 3}, now.AddDate(1, 0, 0), all[:20], Options{Estimate: true}) {
		if d.Outlook == OutlookAbout && d.Until.Before(now.AddDate(1, 0, 0)) {
			t.Errorf("%v goes at %v, which is past", d.Snapshot.Time, d.Until)
		}
	}
	for _, d := range apply(t, Policy{KeepDaily: 100_000}, now, all[:30], Options{Estimate: true}) {
		if d.Outlook != OutlookAtLeast || d.Until.Before(now.AddDate(5, 0, 0)) {
			t.Errorf("%v: %q %v", d.Snapshot.Time, d.Outlook, d.Until)
		}
	}
}
