package retention

import (
	"fmt"
	"strings"
	"time"
)

// MaxSkew is how far a snapshot or another clock may be ahead of now before
// removal stops.
const MaxSkew = 5 * time.Minute

// Grace is how much newer than a suspicious or partial snapshot a good one must
// be before the former may go.
const Grace = 30 * 24 * time.Hour

// ID is the identity of a snapshot record.
type ID [32]byte

// Snapshot is what the rules need of a snapshot record.
type Snapshot struct {
	ID     ID
	Source string    // identity of the source, not empty
	Time   time.Time // stamp of the repository's owner
	// Sequence is the number of the snapshot within its source, in the order
	// in which they were made; 0 where it is not known.
	Sequence   uint64
	Tags       []string
	Pinned     bool // stays until unpinned
	Suspicious bool // the source looked wrong: empty, shrunk, unmounted
	Partial    bool // the backup did not reach its end
}

// Rule says what keeps a snapshot. Its text is stable.
type Rule string

// The rules of a policy.
const (
	RuleLast      Rule = "last"
	RuleHourly    Rule = "hourly"
	RuleDaily     Rule = "daily"
	RuleWeekly    Rule = "weekly"
	RuleMonthly   Rule = "monthly"
	RuleQuarterly Rule = "quarterly"
	RuleYearly    Rule = "yearly"

	RuleWithin        Rule = "within"
	RuleWithinHourly  Rule = "within_hourly"
	RuleWithinDaily   Rule = "within_daily"
	RuleWithinWeekly  Rule = "within_weekly"
	RuleWithinMonthly Rule = "within_monthly"
	RuleWithinYearly  Rule = "within_yearly"

	RuleOldest Rule = "oldest" // a count or a window is not filled yet
	RuleTag    Rule = "tag"
)

// The rules that hold for every policy. The hold rules stand at every snapshot
// of the source.
const (
	RuleNewest     Rule = "newest" // newest good one, or newest partial one after it
	RulePinned     Rule = "pinned"
	RuleSuspicious Rule = "suspicious"
	RuleMisdated   Rule = "misdated"

	RuleHoldFuture     Rule = "hold_future"     // a snapshot is later than now
	RuleHoldClock      Rule = "hold_clock"      // another clock disagrees
	RuleHoldSuspicious Rule = "hold_suspicious" // the newest snapshot is suspicious
	RuleHoldTags       Rule = "hold_tags"       // only tags keep, and none matches
)

// Reason is one cause for which a snapshot stays.
type Reason struct {
	Rule Rule `json:"rule"`
	// Period is the hour, day, … year of which the snapshot is the newest, or
	// the tag.
	Period string `json:"period,omitempty"`
	// Number is the place among the Limit that the rule counts, 1 being the
	// newest. It is 0 where nothing is counted, among them periods into which
	// a finer rule still reaches. For RuleOldest it is how many are counted.
	Number int `json:"number,omitempty"`
	Limit  int `json:"limit,omitempty"`
	// Within is the window of the within rules.
	Within Duration `json:"within,omitzero"`
}

// String returns the reason as people read it: "daily 3 of 7 (2026-07-04)".
func (r Reason) String() string {
	switch r.Rule {
	case RulePinned:
		return "pinned"
	case RuleTag:
		return fmt.Sprintf("tag %q", r.Period)
	case RuleNewest:
		return "newest of its source"
	case RuleSuspicious:
		return "suspicious, and no good one is 30 days newer"
	case RuleMisdated:
		return "misdated: its stamp is earlier than that of an earlier snapshot"
	case RuleHoldFuture:
		return "held: a snapshot of this source is later than now"
	case RuleHoldClock:
		return "held: clocks disagree"
	case RuleHoldSuspicious:
		return "held: the newest snapshot of this source is suspicious"
	case RuleHoldTags:
		return "held: no snapshot of this source has a tag that is kept"
	case RuleOldest:
		return r.oldest()
	}
	return r.counted()
}

func (r Reason) oldest() string {
	switch {
	case !r.Within.IsZero():
		return fmt.Sprintf("oldest, within %v", r.Within)
	case r.Limit == All:
		return "oldest"
	}
	return fmt.Sprintf("oldest, as %d of %d are filled", r.Number, r.Limit)
}

func (r Reason) counted() string {
	text := strings.Replace(string(r.Rule), "within_", "", 1)
	switch {
	case !r.Within.IsZero():
		text = strings.TrimPrefix(text+" within ", "within ") + r.Within.String()
	case r.Number == 0:
		text += " later"
	case r.Limit == All:
		text += fmt.Sprintf(" %d", r.Number)
	default:
		text += fmt.Sprintf(" %d of %d", r.Number, r.Limit)
	}
	if r.Period != "" {
		text += " (" + r.Period + ")"
	}
	return text
}

// Outlook says how to read [Decision.Until].
type Outlook string

// The outlooks.
const (
	OutlookUnknown Outlook = ""         // not estimated, or held
	OutlookAbout   Outlook = "about"    // goes about then
	OutlookAtLeast Outlook = "at_least" // still kept then
	OutlookForever Outlook = "forever"  // no time: a pin, a tag or a rule without limit keeps it
)

// Decision is the answer for one snapshot. Keep is true exactly when there is a
// reason.
type Decision struct {
	Snapshot Snapshot
	Keep     bool
	Reasons  []Reason // fine rules first; the caller may keep it
	// Until estimates when the snapshot goes, read as Outlook says. It is set
	// when [Options.Estimate] is.
	Until   time.Time
	Outlook Outlook
}
