package retention

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxDurationPart bounds each number of a duration; maxDurationText the text.
const (
	maxDurationPart = 1_000_000
	maxDurationText = 64
)

// Duration is a span of the calendar: a month is as long as the month is. Its
// zero value means that no span is set. Parts are not carried over: 14 days
// and 2 weeks are different values of the same length.
type Duration struct {
	Years, Months, Weeks, Days, Hours, Minutes, Seconds int
}

// part is one number of a duration with its letter.
type part struct {
	letter byte
	value  *int
}

// datePart lists the parts that are counted on the calendar, largest first.
func (d *Duration) datePart() []part {
	return []part{{'y', &d.Years}, {'m', &d.Months}, {'w', &d.Weeks}, {'d', &d.Days}}
}

// timePart lists the parts of fixed length, largest first.
func (d *Duration) timePart() []part {
	return []part{{'h', &d.Hours}, {'m', &d.Minutes}, {'s', &d.Seconds}}
}

// IsZero reports whether no span is set.
func (d Duration) IsZero() bool { return d == Duration{} }

// ParseDuration reads a duration: numbers with the letters h, d, w, m (month)
// and y in any order, each once, as in "1y5m7d2h", or ISO 8601 as in
// "P1Y2M3DT4H30M". Numbers are whole and at most 1000000.
func ParseDuration(text string) (Duration, error) {
	var d Duration
	var err error
	switch {
	case len(text) > maxDurationText:
		return Duration{}, fmt.Errorf("%w: longer than %d characters", ErrInvalidDuration, maxDurationText)
	case strings.HasPrefix(text, "P"):
		err = d.parseISO(text[1:])
	default:
		short := append(d.timePart()[:1], d.datePart()...)
		err = parseParts(text, short, false)
	}
	if err != nil {
		return Duration{}, fmt.Errorf("%w: %q: %v", ErrInvalidDuration, text, err)
	}
	return d, nil
}

// parseISO reads what follows the P.
func (d *Duration) parseISO(text string) error {
	date, clock, hasClock := strings.Cut(strings.ToLower(text), "t")
	if strings.ToUpper(text) != text {
		return fmt.Errorf("ISO 8601 has capital letters")
	}
	if date != "" || !hasClock {
		if err := parseParts(date, d.datePart(), true); err != nil {
			return err
		}
	}
	if !hasClock {
		return nil
	}
	return parseParts(clock, d.timePart(), true)
}

// parseParts reads one or more numbers with letters out of parts, each at most
// once, and when ordered in that order.
func parseParts(text string, parts []part, ordered bool) error {
	if text == "" {
		return fmt.Errorf("want a number and a unit, such as 30d")
	}
	used := make([]bool, len(parts))
	least := 0
	for text != "" {
		digits := 0
		for digits < len(text) && text[digits] >= '0' && text[digits] <= '9' {
			digits++
		}
		if digits == 0 {
			return fmt.Errorf("no number before %q", text)
		}
		if digits == len(text) {
			return fmt.Errorf("number %s has no unit (h, d, w, m, y)", text)
		}
		value, err := strconv.Atoi(text[:digits])
		if err != nil || value > maxDurationPart {
			return fmt.Errorf("number %s is above %d", text[:digits], maxDurationPart)
		}
		at := indexPart(parts, text[digits])
		switch {
		case at < 0:
			return fmt.Errorf("unknown unit %q", text[digits:digits+1])
		case used[at]:
			return fmt.Errorf("unit %c is given twice", text[digits])
		case ordered && at < least:
			return fmt.Errorf("unit %c is out of order", text[digits])
		}
		used[at], least = true, at
		*parts[at].value = value
		text = text[digits+1:]
	}
	return nil
}

func indexPart(parts []part, letter byte) int {
	for i, p := range parts {
		if p.letter == letter {
			return i
		}
	}
	return -1
}

// String returns the short form, largest unit first ("1y5m7d2h"), or ISO 8601
// where there are minutes or seconds, which have no short letter. ParseDuration
// reads both back to the same value. The zero value is "0h".
func (d Duration) String() string {
	if d.IsZero() {
		return "0h"
	}
	date := formatParts(d.datePart())
	if d.Minutes == 0 && d.Seconds == 0 {
		return date + formatParts(d.timePart())
	}
	return "P" + strings.ToUpper(date+"t"+formatParts(d.timePart()))
}

func formatParts(parts []part) string {
	var b strings.Builder
	for _, p := range parts {
		if *p.value != 0 {
			fmt.Fprintf(&b, "%d%c", *p.value, p.letter)
		}
	}
	return b.String()
}

// MarshalText returns what String returns.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// valid reports whether every part is in the range that ParseDuration accepts.
func (d Duration) valid() bool {
	for _, p := range append(d.datePart(), d.timePart()...) {
		if *p.value < 0 || *p.value > maxDurationPart {
			return false
		}
	}
	return true
}

// before returns the moment that lies d before t: years and months first, then
// weeks and days, on the clock face of zone, then hours, minutes and seconds as
// they pass. A day that its month does not have is the end of that month: a
// month before 31 March is the moment February ends. So a later t never gives
// an earlier result.
func (d Duration) before(t time.Time, zone *time.Location) time.Time {
	t = t.In(zone)
	year, month, day := t.Date()
	first := time.Date(year-d.Years, month-time.Month(d.Months), 1, 0, 0, 0, 0, time.UTC)
	if next := first.AddDate(0, 1, 0); day > int(next.Sub(first)/(24*time.Hour)) {
		t = time.Date(next.Year(), next.Month(), 1-7*d.Weeks-d.Days, 0, 0, 0, 0, zone)
	} else {
		hour, minute, second := t.Clock()
		t = time.Date(first.Year(), first.Month(), day-7*d.Weeks-d.Days, hour, minute, second,
			t.Nanosecond(), zone)
	}
	return t.Add(-time.Duration(d.Hours) * time.Hour).
		Add(-time.Duration(d.Minutes)*time.Minute - time.Duration(d.Seconds)*time.Second)
}
