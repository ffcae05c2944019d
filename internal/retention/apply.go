package retention

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Options changes how [Apply] treats sources. The zero value is the safest.
type Options struct {
	// Clocks are other clocks read at the same moment as now, such as that of
	// the store. Where one differs by more than MaxSkew nothing goes.
	Clocks []time.Time
	// ReleaseSuspicious lets snapshots go although the newest of their source
	// is suspicious.
	ReleaseSuspicious bool
	// Estimate fills in Until and Outlook, at the price of a simulation of the
	// future.
	Estimate bool
}

// Apply decides for each snapshot whether it stays, as the package comment
// describes. The decisions come by source in byte order, and within a source
// newest first. The errors are ErrEmptyPolicy, ErrInvalidPolicy and
// ErrInvalidSnapshot; with an error nothing is decided.
func Apply(p Policy, now time.Time, snapshots []Snapshot, o Options) ([]Decision, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	zone, err := p.location()
	if err != nil {
		return nil, err
	}
	sorted, err := sortSnapshots(snapshots)
	if err != nil {
		return nil, err
	}
	decisions := make([]Decision, 0, len(sorted))
	c := newChooser(p, zone)
	for len(sorted) > 0 {
		n := 1
		for n < len(sorted) && sorted[n].Source == sorted[0].Source {
			n++
		}
		s := newSource(c, now, sorted[:n])
		s.decide(o)
		decisions = append(decisions, s.decisions...)
		sorted = sorted[n:]
	}
	return decisions, nil
}

// sortSnapshots returns a copy ordered by source, then newest first.
func sortSnapshots(snapshots []Snapshot) ([]Snapshot, error) {
	seen := make(map[ID]bool, len(snapshots))
	for _, s := range snapshots {
		if s.Source == "" {
			return nil, fmt.Errorf("%w: %x has no source", ErrInvalidSnapshot, s.ID)
		}
		if seen[s.ID] {
			return nil, fmt.Errorf("%w: %x is listed twice", ErrInvalidSnapshot, s.ID)
		}
		seen[s.ID] = true
	}
	sorted := slices.Clone(snapshots)
	slices.SortFunc(sorted, func(a, b Snapshot) int {
		return cmp.Or(
			strings.Compare(a.Source, b.Source),
			b.Time.Compare(a.Time),
			cmp.Compare(b.Sequence, a.Sequence),
			bytes.Compare(b.ID[:], a.ID[:]))
	})
	return sorted, nil
}

// source is one source while it is decided. The lists good and partial hold
// items whose origin is the index of the decision.
type source struct {
	*chooser
	now       time.Time
	decisions []Decision // newest first
	misdated  []bool
	good      []item
	partial   []item
}

func newSource(c *chooser, now time.Time, snapshots []Snapshot) *source {
	s := &source{chooser: c, now: now, misdated: findMisdated(snapshots)}
	s.decisions = make([]Decision, len(snapshots))
	for i, snap := range snapshots {
		s.decisions[i].Snapshot = snap
		switch {
		case s.misdated[i] || snap.Suspicious:
		case !snap.Partial:
			s.good = append(s.good, newItem(snap.Time, c.zone, i))
		case len(s.good) == 0 || s.inGrace(i):
			s.partial = append(s.partial, newItem(snap.Time, c.zone, i))
		}
	}
	return s
}

// findMisdated tells which snapshots have a stamp more than MaxSkew earlier
// than that of a snapshot with a smaller sequence number.
func findMisdated(snapshots []Snapshot) []bool {
	order := make([]int, 0, len(snapshots))
	for i, s := range snapshots {
		if s.Sequence != 0 {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(snapshots[a].Sequence, snapshots[b].Sequence) })
	misdated := make([]bool, len(snapshots))
	var before, latest time.Time // of smaller numbers, and of all so far
	var number uint64
	for _, i := range order {
		snap := &snapshots[i]
		if snap.Sequence != number {
			before, number = latest, snap.Sequence
		}
		misdated[i] = before.After(snap.Time.Add(MaxSkew))
		if snap.Time.After(latest) {
			latest = snap.Time
		}
	}
	return misdated
}

// inGrace reports whether no good snapshot is Grace newer.
func (s *source) inGrace(i int) bool {
	return len(s.good) == 0 || s.good[0].time.Before(s.decisions[i].Snapshot.Time.Add(Grace))
}

// decide fills in the decisions.
func (s *source) decide(o Options) {
	s.choose(s.good, s.adder(s.good))
	s.choose(s.partial, s.adder(s.partial))
	if len(s.good) > 0 {
		s.keepNewest(s.good[0].origin)
	}
	if len(s.partial) > 0 && (len(s.good) == 0 || s.partial[0].origin < s.good[0].origin) {
		s.keepNewest(s.partial[0].origin)
	}
	for i := range s.decisions {
		s.keepMarked(i)
	}
	held := s.hold(o)
	for i := range s.decisions {
		d := &s.decisions[i]
		d.Reasons = append(d.Reasons, held...)
		d.Keep = len(d.Reasons) > 0
	}
	if o.Estimate && len(held) == 0 {
		s.estimate()
	}
}

// adder returns the function that writes marks for items as reasons.
func (s *source) adder(items []item) func(int, mark) {
	return func(i int, m mark) { s.add(items[i].origin, m.reason()) }
}

func (s *source) add(i int, r Reason) {
	s.decisions[i].Reasons = append(s.decisions[i].Reasons, r)
}

// keepNewest adds the rule that every policy has, where no other rule says it.
func (s *source) keepNewest(i int) {
	if len(s.decisions[i].Reasons) == 0 {
		s.add(i, Reason{Rule: RuleNewest})
	}
}

// keepMarked adds the reasons that lie in the snapshot itself.
func (s *source) keepMarked(i int) {
	snap := &s.decisions[i].Snapshot
	for _, list := range s.policy.KeepTags {
		if hasTags(snap.Tags, list) {
			s.add(i, Reason{Rule: RuleTag, Period: list})
		}
	}
	if snap.Pinned {
		s.add(i, Reason{Rule: RulePinned})
	}
	if s.misdated[i] {
		s.add(i, Reason{Rule: RuleMisdated})
	}
	if snap.Suspicious && s.inGrace(i) {
		s.add(i, Reason{Rule: RuleSuspicious})
	}
}

// hasTags reports whether tags has all of a list such as "a,b", or is empty if
// the list is.
func hasTags(tags []string, list string) bool {
	if list == "" {
		return len(tags) == 0
	}
	for tag := range strings.SplitSeq(list, ",") {
		if !slices.Contains(tags, tag) {
			return false
		}
	}
	return true
}

// hold returns the reasons for which nothing of the source may go.
func (s *source) hold(o Options) []Reason {
	var held []Reason
	if s.decisions[0].Snapshot.Time.After(s.now.Add(MaxSkew)) {
		held = append(held, Reason{Rule: RuleHoldFuture})
	}
	for _, other := range o.Clocks {
		if other.After(s.now.Add(MaxSkew)) || s.now.After(other.Add(MaxSkew)) {
			held = append(held, Reason{Rule: RuleHoldClock})
			break
		}
	}
	if !o.ReleaseSuspicious && s.newestIsSuspicious() {
		held = append(held, Reason{Rule: RuleHoldSuspicious})
	}
	if !s.policy.counting() && !s.anyTagged() {
		held = append(held, Reason{Rule: RuleHoldTags})
	}
	return held
}

// newestIsSuspicious looks at the newest by stamp and the newest by sequence
// number: where clocks lie these are two.
func (s *source) newestIsSuspicious() bool {
	latest := &s.decisions[0].Snapshot
	for i := range s.decisions {
		if snap := &s.decisions[i].Snapshot; snap.Sequence > latest.Sequence {
			latest = snap
		}
	}
	return latest.Suspicious || s.decisions[0].Snapshot.Suspicious
}

func (s *source) anyTagged() bool {
	return slices.ContainsFunc(s.decisions, func(d Decision) bool {
		return slices.ContainsFunc(d.Reasons, func(r Reason) bool { return r.Rule == RuleTag })
	})
}

// UnmatchedTags returns the entries of p.KeepTags that no snapshot has, which
// are likely to be mistyped.
func UnmatchedTags(p Policy, snapshots []Snapshot) []string {
	var unmatched []string
	for _, list := range p.KeepTags {
		if !slices.ContainsFunc(snapshots, func(s Snapshot) bool { return hasTags(s.Tags, list) }) {
			unmatched = append(unmatched, list)
		}
	}
	return unmatched
}
