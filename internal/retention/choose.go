package retention

import (
	"math"
	"time"
)

// item is a snapshot in the form that the counting rules look at.
type item struct {
	time    time.Time
	periods [unitCount]period
	// origin is the place of the snapshot in the caller's list.
	origin int
}

func newItem(t time.Time, zone *time.Location, origin int) item {
	return item{time: t, periods: periodsOf(t, zone), origin: origin}
}

// level is one line of a policy: what it keeps of the periods of one unit.
type level struct {
	unit       unit
	count      int
	countRule  Rule
	within     Duration
	withinRule Rule
}

// levels returns the active lines of the policy that look at periods, fine to
// coarse.
func (p Policy) levels() []level {
	all := []level{
		{hour, p.KeepHourly, RuleHourly, p.KeepWithinHourly, RuleWithinHourly},
		{day, p.KeepDaily, RuleDaily, p.KeepWithinDaily, RuleWithinDaily},
		{week, p.KeepWeekly, RuleWeekly, p.KeepWithinWeekly, RuleWithinWeekly},
		{month, p.KeepMonthly, RuleMonthly, p.KeepWithinMonthly, RuleWithinMonthly},
		{quarter, p.KeepQuarterly, RuleQuarterly, Duration{}, ""},
		{year, p.KeepYearly, RuleYearly, p.KeepWithinYearly, RuleWithinYearly},
	}
	active := all[:0]
	for _, l := range all {
		if l.count != 0 || !l.within.IsZero() {
			active = append(active, l)
		}
	}
	return active
}

// mark is a reason before it is put into words.
type mark struct {
	rule   Rule
	unit   unit
	period period
	number int
	limit  int
	within Duration
}

// reach says how far the finer rules keep: down to the item at index, and back
// to a date, the first day of the oldest period they keep.
type reach struct {
	index int
	date  int64
}

func (r *reach) extend(index int, date int64) {
	r.index = max(r.index, index)
	r.date = min(r.date, date)
}

// chooser walks the items of one source, newest first, once for each rule.
type chooser struct {
	policy Policy
	zone   *time.Location
	levels []level
	// seen is scratch of level.
	seen map[period]bool
}

func newChooser(p Policy, zone *time.Location) *chooser {
	return &chooser{policy: p, zone: zone, levels: p.levels(), seen: make(map[period]bool)}
}

// choose calls add for each item that a rule keeps, once for each reason, fine
// rules first. Items are ordered newest first. The work is proportional to the
// number of items for each rule.
func (c *chooser) choose(items []item, add func(index int, m mark)) {
	if len(items) == 0 {
		return
	}
	finer := reach{index: -1, date: math.MaxInt64}
	c.chooseNewest(items, &finer, add)
	var oldest *mark
	for _, l := range c.levels {
		if m := c.chooseLevel(l, items, &finer, add); m != nil {
			oldest = m
		}
	}
	if oldest != nil {
		add(len(items)-1, *oldest)
	}
}

// chooseNewest applies the rules that take every snapshot: last and within.
func (c *chooser) chooseNewest(items []item, finer *reach, add func(int, mark)) {
	last, within := c.policy.KeepLast, c.policy.KeepWithin
	start := within.before(items[0].time, c.zone)
	for i, it := range items {
		inLast := last == All || i < last
		inside := !within.IsZero() && it.time.After(start)
		if inLast {
			add(i, mark{rule: RuleLast, number: i + 1, limit: last})
		}
		if inside {
			add(i, mark{rule: RuleWithin, within: within})
		}
		if !inLast && !inside {
			return
		}
		finer.extend(i, it.periods[day].number)
	}
}

// chooseLevel applies one rule to the newest item of each period, and lets
// finer reach as far as it kept. It returns the mark for the oldest item when
// the rule would have kept more.
func (c *chooser) chooseLevel(l level, items []item, finer *reach, add func(int, mark)) *mark {
	clear(c.seen)
	start := l.within.before(items[0].time, c.zone)
	own := *finer
	counted, lastKept := 0, -1
	for i, it := range items {
		p := it.periods[l.unit]
		if c.seen[p] {
			continue
		}
		c.seen[p] = true
		m := mark{unit: l.unit, period: p}
		kept := false
		if !l.within.IsZero() && it.time.After(start) {
			m.rule, m.within, kept = l.withinRule, l.within, true
			add(i, m)
		}
		m.rule, m.within, m.limit = l.countRule, Duration{}, l.count
		switch {
		case l.count == 0:
		case !c.policy.Overlap && finer.covers(l.unit, i, p):
			kept = true
			add(i, m)
		case l.count == All || counted < l.count:
			counted++
			m.number, kept = counted, true
			add(i, m)
		}
		if !kept {
			break
		}
		lastKept = i
		own.extend(i, firstDay(l.unit, p))
	}
	*finer = own
	if lastKept == len(items)-1 {
		return nil
	}
	return l.oldest(counted, c.policy.Overlap && items[len(items)-1].time.After(start))
}

// covers reports whether the finer rules reach into the period or beyond it;
// index is that of its newest item.
func (r reach) covers(u unit, index int, p period) bool {
	if r.index < 0 {
		return false
	}
	if index <= r.index || u == hour {
		return index <= r.index
	}
	return p.number >= numberOf(u, r.date)
}

// oldest returns the mark for the oldest item if the level would keep more. A
// window asks for it only where rules overlap: what is oldest in a window
// depends on what went before, what is oldest of an unfilled count does not.
func (l level) oldest(counted int, inWindow bool) *mark {
	switch {
	case l.count == All || counted < l.count:
		return &mark{rule: RuleOldest, number: counted, limit: l.count}
	case !l.within.IsZero() && inWindow:
		return &mark{rule: RuleOldest, within: l.within}
	}
	return nil
}

// reason puts a mark into words.
func (m mark) reason() Reason {
	r := Reason{Rule: m.rule, Number: m.number, Limit: m.limit, Within: m.within}
	switch m.rule {
	case RuleLast, RuleWithin, RuleOldest:
	default:
		r.Period = nameOf(m.unit, m.period)
	}
	return r
}
