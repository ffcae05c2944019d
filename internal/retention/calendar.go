package retention

import (
	"fmt"
	"strings"
)

// letters are how Calendar shows what keeps a day.
var letters = []struct {
	letter byte
	rules  []Rule
	text   string
}{
	{'L', []Rule{RuleLast, RuleNewest}, "last"},
	{'+', []Rule{RuleWithin}, "within"},
	{'H', []Rule{RuleHourly, RuleWithinHourly}, "hourly"},
	{'D', []Rule{RuleDaily, RuleWithinDaily}, "daily"},
	{'W', []Rule{RuleWeekly, RuleWithinWeekly}, "weekly"},
	{'M', []Rule{RuleMonthly, RuleWithinMonthly}, "monthly"},
	{'Q', []Rule{RuleQuarterly}, "quarterly"},
	{'Y', []Rule{RuleYearly, RuleWithinYearly}, "yearly"},
	{'O', []Rule{RuleOldest}, "oldest"},
}

// letterOf returns the letter of a rule, small where the rule does not count
// the day yet.
func letterOf(r Rule, waits bool) string {
	for _, l := range letters {
		for _, rule := range l.rules {
			if rule == r && waits {
				return strings.ToLower(string(l.letter))
			}
			if rule == r {
				return string(l.letter)
			}
		}
	}
	return "."
}

// Calendar draws the simulation: a line for each month with a letter for each
// day of which a snapshot is left, and below it the legend and the figures.
func (s Simulation) Calendar() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v\n\n", s.Policy)
	b.WriteString("                  1         2         3\n")
	b.WriteString("         1234567890123456789012345678901\n")
	used := map[string]bool{}
	for i, d := range s.Days {
		if i == 0 || d.Date.Day() == 1 {
			line := fmt.Sprintf("%s  %*s", d.Date.Format("2006-01"), d.Date.Day()-1, "")
			b.WriteString(line)
		}
		letter := letterOf(d.Rule, d.Waits)
		used[letter] = true
		b.WriteString(letter)
		if i == len(s.Days)-1 || s.Days[i+1].Date.Day() == 1 {
			b.WriteByte('\n')
		}
	}
	b.WriteByte('\n')
	for _, l := range letters {
		if used[string(l.letter)] {
			fmt.Fprintf(&b, "%c %s  ", l.letter, l.text)
		}
		if small := strings.ToLower(string(l.letter)); used[small] && small != string(l.letter) {
			fmt.Fprintf(&b, "%s %s, counted later  ", small, l.text)
		}
	}
	b.WriteString(". gone\n")
	b.WriteString(s.figures())
	return b.String()
}

// figures sums up the last night, and the range from the first night on which
// the history was longer than what is kept of it.
func (s Simulation) figures() string {
	if len(s.Nights) == 0 {
		return ""
	}
	last := s.Nights[len(s.Nights)-1]
	text := fmt.Sprintf("at the end %s kept, the oldest %s old\n",
		plural(last.Kept, "snapshot"), plural(last.OldestDays, "day"))
	full := 0
	for full < len(s.Nights) && s.Nights[full].OldestDays == full {
		full++
	}
	if full == len(s.Nights) {
		return text + "nothing has reached its end: the first snapshot is still kept\n"
	}
	low, high := last, last
	for _, n := range s.Nights[full:] {
		low = SimulatedNight{min(low.Kept, n.Kept), min(low.OldestDays, n.OldestDays)}
		high = SimulatedNight{max(high.Kept, n.Kept), max(high.OldestDays, n.OldestDays)}
	}
	return text + fmt.Sprintf("from day %d on %d to %d kept, the oldest %d to %d days old\n",
		full+1, low.Kept, high.Kept, low.OldestDays, high.OldestDays)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
