package retention

import (
	"fmt"
	"strings"
	"time"
)

// Row is one line of an explanation, in words.
type Row struct {
	Snapshot Snapshot
	Keep     bool
	Time     string // on the clock of the policy's zone
	Why      string
	Until    string // empty for what goes
}

// Explain puts decisions of Apply into words, in their order. A snapshot that
// goes is explained by its neighbours that stay.
func Explain(p Policy, decisions []Decision) ([]Row, error) {
	zone, err := p.location()
	if err != nil {
		return nil, err
	}
	clock := func(t time.Time) string { return t.In(zone).Format("Mon 2006-01-02 15:04") }
	rows := make([]Row, len(decisions))
	older := olderKept(decisions)
	var newer *Snapshot
	for i := range decisions {
		d := &decisions[i]
		if newer != nil && newer.Source != d.Snapshot.Source {
			newer = nil
		}
		rows[i] = Row{Snapshot: d.Snapshot, Keep: d.Keep, Time: clock(d.Snapshot.Time)}
		if d.Keep {
			rows[i].Why, rows[i].Until = joinReasons(d.Reasons), d.outlook(clock)
			newer = &d.Snapshot
			continue
		}
		var near []string
		for _, other := range []*Snapshot{newer, older[i]} {
			if other != nil {
				near = append(near, clock(other.Time))
			}
		}
		rows[i].Why = "no rule keeps it"
		if len(near) > 0 {
			rows[i].Why += "; next to it stay " + strings.Join(near, " and ")
		}
	}
	return rows, nil
}

// olderKept returns for each decision the next older snapshot of its source
// that stays, or nil.
func olderKept(decisions []Decision) []*Snapshot {
	older := make([]*Snapshot, len(decisions))
	var last *Snapshot
	for i := len(decisions) - 1; i >= 0; i-- {
		d := &decisions[i]
		if last != nil && last.Source == d.Snapshot.Source {
			older[i] = last
		}
		if d.Keep {
			last = &d.Snapshot
		}
	}
	return older
}

func joinReasons(reasons []Reason) string {
	words := make([]string, len(reasons))
	for i, r := range reasons {
		words[i] = r.String()
	}
	return strings.Join(words, "; ")
}

// outlook puts Until into words.
func (d *Decision) outlook(clock func(time.Time) string) string {
	switch d.Outlook {
	case OutlookAbout:
		return "about " + clock(d.Until)
	case OutlookAtLeast:
		return "at least " + clock(d.Until)
	case OutlookForever:
		return "for ever"
	}
	return "unknown"
}

// ExplainText renders rows as a table, one source after the other. Names of
// sources are quoted; id shortens an ID the way the caller shows IDs.
func ExplainText(rows []Row, id func(ID) string) string {
	var b strings.Builder
	source := ""
	for i, r := range rows {
		if i == 0 || r.Snapshot.Source != source {
			source = r.Snapshot.Source
			fmt.Fprintf(&b, "%ssource %q\n", strings.Repeat("\n", min(i, 1)), source)
		}
		verdict := "go  "
		if r.Keep {
			verdict = "keep"
		}
		fmt.Fprintf(&b, "  %s  %s  %s  %s", verdict, id(r.Snapshot.ID), r.Time, r.Why)
		if r.Keep && r.Until != "unknown" {
			fmt.Fprintf(&b, "; until %s", r.Until)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
