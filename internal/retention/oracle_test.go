package retention

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// The oracle decides about one snapshot at a time, by asking of every rule
// whether its sentence in the package comment is true of it. It compares names
// of periods as text, counts by looking at all others, and is slow.
type oracle struct {
	policy Policy
	zone   *time.Location
	lane   []Snapshot // those that compete for slots
	labels map[labelKey]string
	firsts map[string][]Snapshot
}

// labelKey names what the oracle remembers.
type labelKey struct {
	unit string
	id   ID
}

// tier is a count and a window with their unit, "" being every snapshot.
type tier struct {
	unit   string
	count  int
	within Duration
}

func (p Policy) tiers() []tier {
	return []tier{
		{"", p.KeepLast, p.KeepWithin},
		{"hourly", p.KeepHourly, p.KeepWithinHourly},
		{"daily", p.KeepDaily, p.KeepWithinDaily},
		{"weekly", p.KeepWeekly, p.KeepWithinWeekly},
		{"monthly", p.KeepMonthly, p.KeepWithinMonthly},
		{"quarterly", p.KeepQuarterly, Duration{}},
		{"yearly", p.KeepYearly, p.KeepWithinYearly},
	}
}

func newerThan(a, b Snapshot) bool {
	if !a.Time.Equal(b.Time) {
		return a.Time.After(b.Time)
	}
	if a.Sequence != b.Sequence {
		return a.Sequence > b.Sequence
	}
	return bytes.Compare(a.ID[:], b.ID[:]) > 0
}

// label names the period of a moment on the clock face of its location.
func label(unit string, t time.Time) string {
	switch unit {
	case "hourly":
		return t.Format("2006-01-02T15Z07:00")
	case "daily":
		return t.Format("2006-01-02")
	case "weekly":
		y, w := t.ISOWeek()
		return fmt.Sprintf("%04d-W%02d", y, w)
	case "monthly":
		return t.Format("2006-01")
	case "quarterly":
		return t.Format("2006-Q") + string("111222333444"[t.Month()-1])
	case "yearly":
		return t.Format("2006")
	}
	return ""
}

// label names the period of s; it remembers names, as formatting is slow.
func (o oracle) label(unit string, s Snapshot) string {
	key := labelKey{unit, s.ID}
	if _, ok := o.labels[key]; !ok {
		o.labels[key] = label(unit, s.Time.In(o.zone))
	}
	return o.labels[key]
}

// newestOfPeriod reports whether s is the newest of its period.
func (o oracle) newestOfPeriod(unit string, s Snapshot) bool {
	for _, other := range o.lane {
		if unit != "" && o.label(unit, other) == o.label(unit, s) && newerThan(other, s) {
			return false
		}
	}
	return true
}

// newestOfPeriods returns all of them.
func (o oracle) newestOfPeriods(unit string) (newest []Snapshot) {
	if known, ok := o.firsts[unit]; ok {
		return known
	}
	defer func() { o.firsts[unit] = newest }()
	for _, s := range o.lane {
		if o.newestOfPeriod(unit, s) {
			newest = append(newest, s)
		}
	}
	return newest
}

// inside reports whether s lies within d of the newest.
func (o oracle) inside(d Duration, s Snapshot) bool {
	newest := o.lane[0]
	for _, other := range o.lane {
		if newerThan(other, newest) {
			newest = other
		}
	}
	return d != Duration{} && s.Time.After(slowBefore(d, newest.Time.In(o.zone)))
}

// slowBefore goes back month by month and day by day.
func slowBefore(d Duration, t time.Time) time.Time {
	y, m, dayOfMonth := t.Date()
	for range d.Years*12 + d.Months {
		if m--; m == 0 {
			y, m = y-1, 12
		}
	}
	hour, minute, second, nano := t.Hour(), t.Minute(), t.Second(), t.Nanosecond()
	date := time.Date(y, m, 1, 0, 0, 0, 0, time.UTC)
	for range dayOfMonth - 1 {
		date = date.Add(24 * time.Hour)
		if date.Month() != m {
			hour, minute, second, nano = 0, 0, 0, 0
			break
		}
	}
	for range 7*d.Weeks + d.Days {
		date = date.Add(-24 * time.Hour)
	}
	t = time.Date(date.Year(), date.Month(), date.Day(), hour, minute, second, nano, t.Location())
	for range d.Hours {
		t = t.Add(-time.Hour)
	}
	for range d.Minutes {
		t = t.Add(-time.Minute)
	}
	return t.Add(-time.Duration(d.Seconds) * time.Second)
}

// tierReasons returns why each snapshot stays for the tiers up to the last
// one, as "rule period number", by recursion over the finer tiers.
func (o oracle) tierReasons(tiers []tier) (reasons map[ID][]string, reachDate string, reachID *Snapshot) {
	reasons = map[ID][]string{}
	if len(tiers) == 0 {
		return reasons, "9999-99-99", nil
	}
	var finerDate string
	var finerEnd *Snapshot
	reasons, finerDate, finerEnd = o.tierReasons(tiers[:len(tiers)-1])
	reachDate, reachID = finerDate, finerEnd
	tr := tiers[len(tiers)-1]
	newest := o.newestOfPeriods(tr.unit)
	for _, s := range newest {
		why := o.windowReason(tr, s)
		if r := o.countReason(tr, s, newest, finerDate, finerEnd); r != "" {
			why = append(why, r)
		}
		if len(why) == 0 {
			continue
		}
		reasons[s.ID] = append(reasons[s.ID], why...)
		reachDate = min(reachDate, o.firstDate(tr.unit, s))
		if reachID == nil || newerThan(*reachID, s) {
			reachID = &s
		}
	}
	return reasons, reachDate, reachID
}

func (o oracle) windowReason(tr tier, s Snapshot) []string {
	if !o.inside(tr.within, s) {
		return nil
	}
	name := strings.TrimSuffix("within_"+tr.unit, "_")
	return []string{strings.TrimSpace(name+" "+o.label(tr.unit, s)) + " 0"}
}

// firstDate returns the first date of the period in which s lies.
func (o oracle) firstDate(unit string, s Snapshot) string {
	y, m, d := s.Time.In(o.zone).Date()
	date := time.Date(y, m, d, 12, 0, 0, 0, time.UTC)
	if unit == "" || unit == "hourly" {
		return date.Format("2006-01-02")
	}
	for label(unit, date.AddDate(0, 0, -1)) == label(unit, date) {
		date = date.AddDate(0, 0, -1)
	}
	return date.Format("2006-01-02")
}

// covered reports whether finer rules reach into the period of which s is the
// newest.
func (o oracle) covered(unit string, s Snapshot, finerDate string, finerEnd *Snapshot) bool {
	if finerEnd == nil || o.policy.Overlap {
		return false
	}
	if !newerThan(*finerEnd, s) {
		return true
	}
	if unit == "" || unit == "hourly" {
		return false
	}
	date, err := time.Parse("2006-01-02", finerDate)
	if err != nil {
		panic(err)
	}
	return label(unit, date) <= o.label(unit, s)
}

// countReason returns the reason of a count rule for s, one of those that are
// the newest of their period, or "".
func (o oracle) countReason(tr tier, s Snapshot, newest []Snapshot, finerDate string, finerEnd *Snapshot) string {
	if tr.count == 0 {
		return ""
	}
	name := tr.unit
	if name == "" {
		name = "last"
	}
	name = strings.TrimSpace(name + " " + o.label(tr.unit, s))
	if tr.unit != "" && o.covered(tr.unit, s, finerDate, finerEnd) {
		return name + " 0"
	}
	number := 1
	for _, other := range newest {
		if newerThan(other, s) && (tr.unit == "" || !o.covered(tr.unit, other, finerDate, finerEnd)) {
			number++
		}
	}
	if tr.count != All && number > tr.count {
		return ""
	}
	return fmt.Sprintf("%s %d", name, number)
}

// wantsOldest reports whether a tier would keep more than there is.
func (o oracle) wantsOldest(tiers []tier) bool {
	oldest := o.lane[0]
	for _, s := range o.lane {
		if newerThan(oldest, s) {
			oldest = s
		}
	}
	for i, tr := range tiers {
		if tr.unit == "" {
			continue
		}
		if o.policy.Overlap && o.inside(tr.within, oldest) || tr.count == All {
			return true
		}
		_, date, end := o.tierReasons(tiers[:i])
		counted := 0
		for _, s := range o.newestOfPeriods(tr.unit) {
			if !o.covered(tr.unit, s, date, end) {
				counted++
			}
		}
		if counted < tr.count {
			return true
		}
	}
	return false
}

// laneReasons returns the reasons of the rules of the policy. Whether the
// oldest has the reason "oldest" beside another one is left open.
func (o oracle) laneReasons() map[ID][]string {
	if len(o.lane) == 0 {
		return map[ID][]string{}
	}
	reasons, _, _ := o.tierReasons(o.policy.tiers())
	oldest := o.lane[0]
	for _, s := range o.lane {
		if newerThan(oldest, s) {
			oldest = s
		}
	}
	if len(reasons[oldest.ID]) == 0 && o.wantsOldest(o.policy.tiers()) {
		reasons[oldest.ID] = []string{"oldest"}
	}
	return reasons
}

// oracleApply returns the sorted reasons of each snapshot that stays.
func oracleApply(p Policy, now time.Time, all []Snapshot, o Options) map[ID][]string {
	zone, err := p.location()
	if err != nil {
		panic(err)
	}
	sources := map[string][]Snapshot{}
	for _, s := range all {
		sources[s.Source] = append(sources[s.Source], s)
	}
	out := map[ID][]string{}
	for _, same := range sources {
		reasons := oracleSource(p, zone, same)
		held := oracleHolds(p, now, same, o)
		for _, s := range same {
			out[s.ID] = append(reasons[s.ID], held...)
			slices.Sort(out[s.ID])
		}
	}
	return out
}

// wrong reports whether the stamp of s contradicts another one of its source.
func wrong(s Snapshot, same []Snapshot) bool {
	for _, other := range same {
		if s.Sequence != 0 && other.Sequence != 0 && other.Sequence < s.Sequence &&
			other.Time.Sub(s.Time) > 5*time.Minute {
			return true
		}
	}
	return false
}

func oracleSource(p Policy, zone *time.Location, same []Snapshot) map[ID][]string {
	var good, partial []Snapshot
	var newestGood *Snapshot
	for _, other := range same {
		if !other.Suspicious && !other.Partial && !wrong(other, same) {
			good = append(good, other)
			if newestGood == nil || newerThan(other, *newestGood) {
				newestGood = &other
			}
		}
	}
	fresh := func(other Snapshot) bool {
		return newestGood == nil || newestGood.Time.Sub(other.Time) < 30*24*time.Hour
	}
	for _, other := range same {
		if other.Partial && !other.Suspicious && !wrong(other, same) && fresh(other) {
			partial = append(partial, other)
		}
	}
	all := oracle{p, zone, good, map[labelKey]string{}, map[string][]Snapshot{}}.laneReasons()
	maps.Copy(all, oracle{p, zone, partial, map[labelKey]string{}, map[string][]Snapshot{}}.laneReasons())
	for _, s := range same {
		reasons := all[s.ID]
		first := newestIn(good, s) || newestIn(partial, s) && (newestGood == nil || newerThan(s, *newestGood))
		if len(reasons) == 0 && first {
			reasons = append(reasons, "newest")
		}
		reasons = append(reasons, oracleTags(p, s)...)
		if s.Pinned {
			reasons = append(reasons, "pinned")
		}
		if wrong(s, same) {
			reasons = append(reasons, "misdated")
		}
		if s.Suspicious && fresh(s) {
			reasons = append(reasons, "suspicious")
		}
		all[s.ID] = reasons
	}
	return all
}

func newestIn(lane []Snapshot, s Snapshot) bool {
	return slices.ContainsFunc(lane, func(other Snapshot) bool { return other.ID == s.ID }) &&
		!slices.ContainsFunc(lane, func(other Snapshot) bool { return newerThan(other, s) })
}

func oracleTags(p Policy, s Snapshot) (reasons []string) {
	for _, list := range p.KeepTags {
		all := true
		for _, tag := range strings.Split(list, ",") {
			all = all && (slices.Contains(s.Tags, tag) || list == "" && len(s.Tags) == 0)
		}
		if all {
			reasons = append(reasons, strings.TrimSpace("tag "+list))
		}
	}
	return reasons
}

func oracleHolds(p Policy, now time.Time, same []Snapshot, o Options) (held []string) {
	add := func(reason string) {
		if !slices.Contains(held, reason) {
			held = append(held, reason)
		}
	}
	matched, suspicious := false, false
	for _, s := range same {
		if s.Time.Sub(now) > 5*time.Minute {
			add("hold_future")
		}
		matched = matched || len(oracleTags(p, s)) > 0
		latest := !slices.ContainsFunc(same, func(other Snapshot) bool { return newerThan(other, s) })
		last := !slices.ContainsFunc(same, func(other Snapshot) bool {
			return other.Sequence > s.Sequence || other.Sequence == s.Sequence && newerThan(other, s)
		})
		suspicious = suspicious || s.Suspicious && (latest || last)
	}
	for _, clock := range o.Clocks {
		if clock.Sub(now).Abs() > 5*time.Minute {
			add("hold_clock")
		}
	}
	if suspicious && !o.ReleaseSuspicious {
		add("hold_suspicious")
	}
	tagsOnly := p
	tagsOnly.KeepTags, tagsOnly.Zone, tagsOnly.Overlap = nil, "", false
	if fmt.Sprint(tagsOnly) == fmt.Sprint(Policy{}) && !matched {
		add("hold_tags")
	}
	return held
}

// TestApplyAgreesWithOracle compares every reason of every snapshot.
func TestApplyAgreesWithOracle(t *testing.T) {
	t.Parallel()
	removed, held := 0, 0
	for seed := range histories(t, 300) {
		r := newRand(seed)
		p := randomPolicy(r)
		now, snapshots, o := randomHistory(r)
		got, err := Apply(p, now, snapshots, o)
		if p.Validate() != nil {
			if err == nil {
				t.Fatalf("seed %d: no error for %+v", seed, p)
			}
			continue
		}
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		want := oracleApply(p, now, snapshots, o)
		if len(got) != len(want) {
			t.Fatalf("seed %d: %d decisions for %d snapshots", seed, len(got), len(want))
		}
		for _, d := range got {
			have := reasonKeys(d)
			if !slices.Equal(have, want[d.Snapshot.ID]) || d.Keep != (len(have) > 0) {
				t.Fatalf("seed %d: policy %v\nsnapshot %v of %s: keep %v\n got %q\nwant %q",
					seed, p, d.Snapshot.Time, d.Snapshot.Source, d.Keep, have, want[d.Snapshot.ID])
			}
			if !d.Keep {
				removed++
			}
			if strings.Contains(strings.Join(have, " "), "hold_") {
				held++
			}
		}
	}
	t.Logf("%d removed, %d held", removed, held)
}

// reasonKeys writes reasons as the oracle does, without an "oldest" that stands
// beside others.
func reasonKeys(d Decision) []string {
	var keys []string
	byRule := 0
	for _, r := range d.Reasons {
		switch r.Rule {
		case RuleOldest, RuleNewest, RulePinned, RuleSuspicious, RuleMisdated, RuleHoldClock, RuleHoldFuture,
			RuleHoldSuspicious, RuleHoldTags:
			keys = append(keys, string(r.Rule))
		case RuleTag:
			keys = append(keys, strings.TrimSpace("tag "+r.Period))
		default:
			byRule++
			keys = append(keys, fmt.Sprintf("%s %d", strings.TrimSpace(string(r.Rule)+" "+r.Period), r.Number))
		}
	}
	if byRule > 0 {
		keys = slices.DeleteFunc(keys, func(k string) bool { return k == "oldest" })
	}
	slices.Sort(keys)
	return keys
}
