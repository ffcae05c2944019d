package retention

import (
	"testing"
	"time"
)

func at(t *testing.T, zone, text string) time.Time {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := time.ParseInLocation("2006-01-02 15:04", text, loc)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// series makes good snapshots of one source, numbered in order.
func series(source string, times ...time.Time) []Snapshot {
	snapshots := make([]Snapshot, len(times))
	for i, t := range times {
		snapshots[i] = Snapshot{ID: numbered(i), Source: source, Time: t, Sequence: uint64(i + 1)}
	}
	return snapshots
}

// daily returns n moments a day apart on the clock face of start's location.
func daily(start time.Time, n int) []time.Time {
	times := make([]time.Time, n)
	for i := range times {
		times[i] = start.AddDate(0, 0, i)
	}
	return times
}

func apply(t *testing.T, p Policy, now time.Time, snapshots []Snapshot, o Options) []Decision {
	t.Helper()
	decisions, err := Apply(p, now, snapshots, o)
	if err != nil {
		t.Fatal(err)
	}
	return decisions
}

// kept returns the snapshots that stay, newest first.
func kept(decisions []Decision) []Snapshot {
	var left []Snapshot
	for _, d := range decisions {
		if d.Keep {
			left = append(left, d.Snapshot)
		}
	}
	return left
}

func keptIDs(decisions []Decision) map[ID]bool {
	ids := map[ID]bool{}
	for _, s := range kept(decisions) {
		ids[s.ID] = true
	}
	return ids
}

func hasRule(d Decision, rule Rule) bool {
	for _, r := range d.Reasons {
		if r.Rule == rule {
			return true
		}
	}
	return false
}

// counted returns how many decisions a rule counts.
func counted(decisions []Decision, rule Rule) int {
	n := 0
	for _, d := range decisions {
		for _, r := range d.Reasons {
			if r.Rule == rule && r.Number > 0 {
				n++
			}
		}
	}
	return n
}
