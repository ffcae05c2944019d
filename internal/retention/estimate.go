package retention

import (
	"slices"
	"time"
)

// Bounds of the simulated future: how many items are looked at, and after how
// many snapshots the future is thinned to one a day.
const (
	estimateBudget = 10_000_000
	estimateFine   = 2000
)

// cadence is the rhythm in which a source is assumed to go on.
type cadence struct {
	days int           // whole days on the clock face, or
	span time.Duration // less than a day
}

// cadence returns the rhythm of the newest good snapshots: by their numbers
// where they have them, as most of what was made may be gone, and else the
// median of the newest distances. It is at least an hour, at most 31 days, and
// a day where there are not two snapshots.
func (s *source) cadence() cadence {
	const byNumber, byDistance = 15, 5
	newest := s.good[0]
	span := 24 * time.Hour
	var gaps []time.Duration
	for i := 1; i < len(s.good) && i <= byDistance; i++ {
		gaps = append(gaps, s.good[i-1].time.Sub(s.good[i].time))
	}
	if len(gaps) > 0 {
		slices.Sort(gaps)
		span = gaps[len(gaps)/2]
	}
	older := s.good[min(len(s.good)-1, byNumber)]
	high, low := s.decisions[newest.origin].Snapshot.Sequence, s.decisions[older.origin].Snapshot.Sequence
	if runs := int64(high - low); low > 0 && high > low && runs > 0 {
		span = newest.time.Sub(older.time) / time.Duration(runs)
	}
	span = min(max(span, time.Hour), 31*24*time.Hour)
	if span < 20*time.Hour {
		return cadence{span: span.Round(time.Minute)}
	}
	return cadence{days: int((span + 12*time.Hour) / (24 * time.Hour))}
}

func (c cadence) next(t time.Time) time.Time { return t.AddDate(0, 0, c.days).Add(c.span) }

// estimate fills in Until and Outlook of what is kept, assuming that the source
// goes on in its rhythm with good snapshots.
func (s *source) estimate() {
	for i := range s.decisions {
		d := &s.decisions[i]
		switch {
		case !d.Keep || s.misdated[i]:
		case slices.ContainsFunc(d.Reasons, Reason.lasting):
			d.Outlook = OutlookForever
		case d.Snapshot.Suspicious || d.Snapshot.Partial:
			d.Outlook, d.Until = OutlookAbout, d.Snapshot.Time.Add(Grace)
		}
	}
	s.forecast()
}

// lasting reports whether only a person ends the reason.
func (r Reason) lasting() bool { return r.Rule == RulePinned || r.Rule == RuleTag }

// forecast adds snapshots to the good ones that are kept, removes what the
// rules let go, and notes when, until all is known or the budget is spent.
func (s *source) forecast() {
	if len(s.good) == 0 {
		return
	}
	rhythm := s.cadence()
	items := slices.DeleteFunc(slices.Clone(s.good), func(it item) bool { return !s.decisions[it.origin].Keep })
	open := 0
	for _, it := range items {
		if s.decisions[it.origin].Outlook == OutlookUnknown {
			open++
		}
	}
	t := items[0].time.In(s.zone)
	for step, spent := 0, 0; open > 0; step++ {
		if step == estimateFine && rhythm.days == 0 {
			rhythm = cadence{days: 1}
		}
		t = rhythm.next(t)
		if step == 0 && t.Before(s.now) {
			t = s.now.In(s.zone)
		}
		items = slices.Insert(items, 0, newItem(t, s.zone, -1))
		if spent += len(items); spent > estimateBudget {
			s.giveUp(items, t)
			return
		}
		var closed int
		items, closed = s.step(items, t)
		open -= closed
	}
}

// step removes from items what goes at t. It returns what is left, and for how
// many of the source's snapshots the outlook became known.
func (s *source) step(items []item, t time.Time) (left []item, closed int) {
	kept := make([]bool, len(items))
	forever := make([]bool, len(items))
	kept[0] = true
	s.choose(items, func(i int, m mark) {
		kept[i] = true
		// What is newest of its period beside a newer snapshot is so for good.
		forever[i] = forever[i] || m.limit == All
	})
	left = items[:0]
	for i, it := range items {
		var d *Decision
		if it.origin >= 0 {
			d = &s.decisions[it.origin]
		}
		switch {
		case d != nil && d.Outlook == OutlookForever:
			kept[i] = true
		case d != nil && forever[i]:
			d.Outlook = OutlookForever
			closed++
		case d != nil && !kept[i]:
			d.Outlook, d.Until = OutlookAbout, t
			closed++
		}
		if kept[i] {
			left = append(left, it)
		}
	}
	return left, closed
}

// giveUp notes that what is still open is kept at t.
func (s *source) giveUp(items []item, t time.Time) {
	for _, it := range items {
		if it.origin >= 0 && s.decisions[it.origin].Outlook == OutlookUnknown {
			d := &s.decisions[it.origin]
			d.Outlook, d.Until = OutlookAtLeast, t
		}
	}
}
