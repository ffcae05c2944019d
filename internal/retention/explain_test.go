package retention

import (
	"strings"
	"testing"
)

// A snapshot that goes is explained by neighbours of its own source, and text
// from records is quoted.
func TestExplainSources(t *testing.T) {
	t.Parallel()
	start := at(t, "UTC", "2026-01-01 03:00")
	var all []Snapshot
	for n, source := range []string{"a", "b\x1b[2J"} {
		for i, s := range series(source, daily(start.AddDate(n, 0, 0), 4)...) {
			s.ID = numbered(10*n + i)
			s.Pinned = i == 0
			all = append(all, s)
		}
	}
	decisions := apply(t, Policy{KeepLast: 1}, all[7].Time, all, Options{})
	// Without the pins the sources would touch with snapshots that go.
	for i := range decisions {
		if hasRule(decisions[i], RulePinned) || decisions[i].Snapshot.Source != "a" {
			decisions[i].Keep = decisions[i].Snapshot.Source != "a" && hasRule(decisions[i], RulePinned)
		}
	}
	rows, err := Explain(Policy{KeepLast: 1}, decisions)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"last 1 of 1",
		"no rule keeps it; next to it stay Sun 2026-01-04 03:00",
		"no rule keeps it; next to it stay Sun 2026-01-04 03:00",
		"no rule keeps it; next to it stay Sun 2026-01-04 03:00",
		"no rule keeps it; next to it stay Fri 2027-01-01 03:00",
		"no rule keeps it; next to it stay Fri 2027-01-01 03:00",
		"no rule keeps it; next to it stay Fri 2027-01-01 03:00",
		"pinned",
	}
	for i, row := range rows {
		if row.Why != want[i] {
			t.Errorf("row %d: %q, want %q", i, row.Why, want[i])
		}
	}
	text := ExplainText(rows, func(ID) string { return "id" })
	if strings.Contains(text, "\x1b") || strings.Count(text, "source ") != 2 {
		t.Errorf("text is %q", text)
	}
}

// Each rule has words of its own.
func TestReasonWords(t *testing.T) {
	t.Parallel()
	d := Duration{Days: 30}
	for _, test := range []struct {
		reason Reason
		want   string
	}{
		{Reason{Rule: RuleLast, Number: 2, Limit: 3}, "last 2 of 3"},
		{Reason{Rule: RuleWithin, Within: d}, "within 30d"},
		{Reason{Rule: RuleDaily, Period: "2026-07-04", Number: 3, Limit: 7}, "daily 3 of 7 (2026-07-04)"},
		{Reason{Rule: RuleYearly, Period: "2026", Number: 3, Limit: All}, "yearly 3 (2026)"},
		{Reason{Rule: RuleMonthly, Period: "2026-07", Limit: 12}, "monthly later (2026-07)"},
		{Reason{Rule: RuleWithinWeekly, Period: "2026-W27", Within: d}, "weekly within 30d (2026-W27)"},
		{Reason{Rule: RuleOldest, Number: 3, Limit: 12}, "oldest, as 3 of 12 are filled"},
		{Reason{Rule: RuleOldest, Within: d}, "oldest, within 30d"},
		{Reason{Rule: RuleOldest, Number: 3, Limit: All}, "oldest"},
		{Reason{Rule: RuleTag, Period: "a,b"}, `tag "a,b"`},
		{Reason{Rule: RulePinned}, "pinned"},
		{Reason{Rule: RuleNewest}, "newest of its source"},
	} {
		if got := test.reason.String(); got != test.want {
			t.Errorf("%+v: %q, want %q", test.reason, got, test.want)
		}
	}
	seen := map[string]bool{}
	for _, rule := range []Rule{RuleSuspicious, RuleMisdated, RuleHoldFuture, RuleHoldClock, RuleHoldSuspicious, RuleHoldTags} {
		text := Reason{Rule: rule}.String()
		if seen[text] || strings.Contains(text, "_") {
			t.Errorf("%s: %q", rule, text)
		}
		seen[text] = true
	}
}
