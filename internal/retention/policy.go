package retention

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the zone of a policy must be known on every machine
)

// All, as the count of a rule, keeps every period.
const All = -1

// Limits of a policy, checked by [Policy.Validate].
const (
	maxCount   = 1_000_000
	maxTags    = 1000
	maxTagText = 4096
	maxZone    = 64
)

// Policy says what to keep. A count of 0 and a zero duration mean no such rule;
// a count of -1 keeps all. The package comment describes how rules combine.
type Policy struct {
	KeepLast      int // newest snapshots
	KeepHourly    int
	KeepDaily     int
	KeepWeekly    int // ISO weeks, Monday to Sunday
	KeepMonthly   int
	KeepQuarterly int
	KeepYearly    int

	// The windows reach back from the newest good snapshot of a source.
	KeepWithin        Duration // every snapshot
	KeepWithinHourly  Duration
	KeepWithinDaily   Duration
	KeepWithinWeekly  Duration
	KeepWithinMonthly Duration
	KeepWithinYearly  Duration

	// KeepTags keeps what has the tag; "a,b" asks for both tags, and "" for
	// snapshots without tags.
	KeepTags []string

	// Overlap makes each rule count from the newest snapshot.
	Overlap bool

	// Zone is the IANA name of the zone in which days begin; empty means UTC.
	// It is part of the policy so that every machine sees the same days.
	Zone string
}

// DefaultPolicy returns 7 daily, 4 weekly and 12 monthly in UTC.
func DefaultPolicy() Policy {
	return Policy{KeepDaily: 7, KeepWeekly: 4, KeepMonthly: 12, Zone: "UTC"}
}

// countField and spanField name the rules of a policy as its JSON form does.
type countField struct {
	name  string
	value *int
}

type spanField struct {
	name  string
	value *Duration
}

func (p *Policy) counts() []countField {
	return []countField{
		{"keep_last", &p.KeepLast},
		{"keep_hourly", &p.KeepHourly},
		{"keep_daily", &p.KeepDaily},
		{"keep_weekly", &p.KeepWeekly},
		{"keep_monthly", &p.KeepMonthly},
		{"keep_quarterly", &p.KeepQuarterly},
		{"keep_yearly", &p.KeepYearly},
	}
}

func (p *Policy) spans() []spanField {
	return []spanField{
		{"keep_within", &p.KeepWithin},
		{"keep_within_hourly", &p.KeepWithinHourly},
		{"keep_within_daily", &p.KeepWithinDaily},
		{"keep_within_weekly", &p.KeepWithinWeekly},
		{"keep_within_monthly", &p.KeepWithinMonthly},
		{"keep_within_yearly", &p.KeepWithinYearly},
	}
}

// Validate reports the first field that is out of range (ErrInvalidPolicy), or
// that nothing is kept (ErrEmptyPolicy).
func (p Policy) Validate() error {
	for _, f := range p.counts() {
		if *f.value < All || *f.value > maxCount {
			return fmt.Errorf("%w: %s: %d is not 0 to %d, nor -1 for all", ErrInvalidPolicy, f.name, *f.value, maxCount)
		}
	}
	for _, f := range p.spans() {
		if !f.value.valid() {
			return fmt.Errorf("%w: %s: a part is not 0 to %d", ErrInvalidPolicy, f.name, maxDurationPart)
		}
	}
	if err := validateTags(p.KeepTags); err != nil {
		return err
	}
	if _, err := p.location(); err != nil {
		return err
	}
	if !p.counting() && len(p.KeepTags) == 0 {
		return ErrEmptyPolicy
	}
	return nil
}

func validateTags(tags []string) error {
	if len(tags) > maxTags {
		return fmt.Errorf("%w: keep_tags: more than %d", ErrInvalidPolicy, maxTags)
	}
	for _, list := range tags {
		if len(list) > maxTagText {
			return fmt.Errorf("%w: keep_tags: longer than %d bytes", ErrInvalidPolicy, maxTagText)
		}
		if list != "" && slices.Contains(strings.Split(list, ","), "") {
			return fmt.Errorf("%w: keep_tags: %q has an empty tag", ErrInvalidPolicy, list)
		}
	}
	return nil
}

// counting reports whether a rule other than a tag keeps something. Such a rule
// always keeps the newest good snapshot.
func (p Policy) counting() bool {
	for _, f := range p.counts() {
		if *f.value != 0 {
			return true
		}
	}
	for _, f := range p.spans() {
		if !f.value.IsZero() {
			return true
		}
	}
	return false
}

// location loads the zone. "Local" is refused: it differs between machines.
func (p Policy) location() (*time.Location, error) {
	if p.Zone == "" || p.Zone == "UTC" {
		return time.UTC, nil
	}
	if p.Zone == "Local" || len(p.Zone) > maxZone {
		return nil, fmt.Errorf("%w: zone: %.64q is not a fixed zone; want a name such as Europe/Berlin or UTC",
			ErrInvalidPolicy, p.Zone)
	}
	zone, err := time.LoadLocation(p.Zone)
	if err != nil {
		return nil, fmt.Errorf("%w: zone: %q is not known; want a name such as Europe/Berlin or UTC",
			ErrInvalidPolicy, p.Zone)
	}
	return zone, nil
}

// String describes the policy in one line, fine rules first: "7 daily, then
// 4 weekly, then 12 monthly; days in UTC".
func (p Policy) String() string {
	var rules []string
	for i, f := range p.counts() {
		name := strings.TrimPrefix(f.name, "keep_")
		switch {
		case *f.value == All:
			rules = append(rules, "all "+name)
		case *f.value != 0:
			rules = append(rules, strconv.Itoa(*f.value)+" "+name)
		}
		if span := p.spanBeside(i); !span.IsZero() {
			what := "all " + name
			if i == 0 {
				what = "all"
			}
			rules = append(rules, what+" within "+span.String())
		}
	}
	joint := ", then "
	if p.Overlap {
		joint = ", also "
	}
	text := strings.Join(rules, joint)
	for _, list := range p.KeepTags {
		text = strings.TrimPrefix(text+"; tag "+strconv.Quote(list), "; ")
	}
	zone := p.Zone
	if zone == "" {
		zone = "UTC"
	}
	return text + "; days in " + zone
}

// spanBeside returns the window of the count rule at index i of counts.
func (p Policy) spanBeside(i int) Duration {
	return [...]Duration{p.KeepWithin, p.KeepWithinHourly, p.KeepWithinDaily, p.KeepWithinWeekly,
		p.KeepWithinMonthly, {}, p.KeepWithinYearly}[i]
}

// ParseCount reads the count of a rule: a number, or "all" or "unlimited".
func ParseCount(text string) (int, error) {
	if text == "all" || text == "unlimited" {
		return All, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < All || n > maxCount {
		return 0, fmt.Errorf("%w: %.64q is not a count: want 0 to %d, or all", ErrInvalidPolicy, text, maxCount)
	}
	return n, nil
}
