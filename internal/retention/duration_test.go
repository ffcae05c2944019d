package retention

import (
	"errors"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text, printed string
		want          Duration
	}{
		{"1y5m7d2h", "1y5m7d2h", Duration{Years: 1, Months: 5, Days: 7, Hours: 2}},
		{"2h7d5m1y", "1y5m7d2h", Duration{Years: 1, Months: 5, Days: 7, Hours: 2}},
		{"1w", "1w", Duration{Weeks: 1}},
		{"6m2w", "6m2w", Duration{Months: 6, Weeks: 2}},
		{"036h", "36h", Duration{Hours: 36}},
		{"0d", "0h", Duration{}},
		{"P1Y2M3DT4H", "1y2m3d4h", Duration{Years: 1, Months: 2, Days: 3, Hours: 4}},
		{"P2W", "2w", Duration{Weeks: 2}},
		{"PT4H", "4h", Duration{Hours: 4}},
		{"PT90M", "PT90M", Duration{Minutes: 90}},
		{"P1MT1M5S", "P1MT1M5S", Duration{Months: 1, Minutes: 1, Seconds: 5}},
		{"1000000y", "1000000y", Duration{Years: 1000000}},
	} {
		got, err := ParseDuration(test.text)
		if err != nil || got != test.want || got.String() != test.printed {
			t.Errorf("ParseDuration(%q) = %+v (%v), %v; want %+v (%s)", test.text, got, got, err, test.want, test.printed)
		}
	}
}

func TestParseDurationRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "7", "d", "7x", "-1d", "+1d", "1.5d", "1d1d", "7 d", " 7d", "1D", "30s", "1000001d",
		"99999999999999999999d", "P", "PT", "P1", "P1YT", "p1y", "P1y", "P1D1Y", "P1H", "PT1D", "P1Y1Y",
		"P1.5D", "P-1D", "1y\n", "１d", "P1YT1HT1H",
		"1y1m1w1d1h0000000000000000000000000000000000000000000000000000000000h",
	} {
		if d, err := ParseDuration(text); !errors.Is(err, ErrInvalidDuration) {
			t.Errorf("ParseDuration(%q) = %v, %v; want ErrInvalidDuration", text, d, err)
		}
	}
}

func TestDurationBefore(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ zone, from, back, want string }{
		{"UTC", "2026-03-31 10:00", "1m", "2026-03-01 00:00"}, // the end of February
		{"UTC", "2026-03-28 10:00", "1m", "2026-02-28 10:00"},
		{"UTC", "2024-02-29 10:00", "1y", "2023-03-01 00:00"},
		{"UTC", "2024-02-29 10:00", "4y", "2020-02-29 10:00"},
		{"UTC", "2026-01-15 10:00", "1y5m7d2h", "2024-08-08 08:00"},
		{"UTC", "2026-01-15 10:00", "2w", "2026-01-01 10:00"},
		{"UTC", "2026-01-15 10:00", "PT90M", "2026-01-15 08:30"},
		{"UTC", "2026-12-31 10:00", "13m", "2025-12-01 00:00"},
		// A day over the change of clocks is a day on the clock face, 24 hours are not.
		{"Europe/Berlin", "2026-03-29 12:00", "1d", "2026-03-28 12:00"},
		{"Europe/Berlin", "2026-03-29 12:00", "24h", "2026-03-28 11:00"},
		{"Europe/Berlin", "2026-10-25 12:00", "24h", "2026-10-24 13:00"},
	} {
		d, err := ParseDuration(test.back)
		if err != nil {
			t.Fatal(err)
		}
		from, want := at(t, test.zone, test.from), at(t, test.zone, test.want)
		if got := d.before(from.UTC(), from.Location()); !got.Equal(want) {
			t.Errorf("%s before %v = %v, want %v", test.back, from, got, want)
		}
	}
}

// A later moment never reaches further back, or a window would let go what it
// keeps the day after.
func TestDurationBeforeIsMonotone(t *testing.T) {
	t.Parallel()
	for seed := range 12 {
		d := randomDuration(newRand(seed))
		last := time.Time{}
		for h := range 24 * 400 {
			from := time.Date(2023, 1, 1, h, 30, 0, 0, time.UTC)
			got := d.before(from, time.UTC)
			if got.Before(last) {
				t.Fatalf("%v before %v = %v, but an hour earlier it is %v", d, from, got, last)
			}
			if slow := slowBefore(d, from); !got.Equal(slow) {
				t.Fatalf("%v before %v = %v, want %v", d, from, got, slow)
			}
			last = got
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, text := range []string{"1y5m7d2h", "2w", "P1Y2M3DT4H", "PT5M7S", "", "P", "0h", "1d1d", "P1M1W"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDuration(text)
		if err != nil {
			if !errors.Is(err, ErrInvalidDuration) || !d.IsZero() {
				t.Fatalf("ParseDuration(%q) = %v, %v", text, d, err)
			}
			return
		}
		again, err := ParseDuration(d.String())
		if err != nil || again != d {
			t.Fatalf("%q reads as %+v, prints as %q, reads as %+v, %v", text, d, d, again, err)
		}
		from := time.Date(2024, 3, 31, 2, 30, 0, 0, time.UTC)
		if got := d.before(from, time.UTC); got.After(from) {
			t.Fatalf("%v before %v is %v", d, from, got)
		}
	})
}
