package chunks

import (
	"testing"
	"time"
)

// TestAge tells when packs are so new that nobody can have taken them for leftovers.
func TestAge(t *testing.T) {
	stored := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	says := func(at time.Time) func() time.Time { return func() time.Time { return at } }
	now := time.Now().Round(0)
	sign := func(is bool) func(time.Time) bool {
		return func(since time.Time) bool { return is && since.Equal(now) }
	}
	for name, tt := range map[string]struct {
		age  Age
		want bool
	}{
		"a storage that does not tell":     {Age{Stored: stored}, false},
		"nothing known of before":          {Age{Clock: says(stored)}, false},
		"no answer so far":                 {Age{}, false},
		"the same second":                  {Age{Stored: stored, Local: now, Clock: says(stored)}, true},
		"a quarter of an hour":             {Age{Stored: stored, Local: now, Clock: says(stored.Add(15 * time.Minute))}, true},
		"just below half an hour":          {Age{Stored: stored, Local: now, Clock: says(stored.Add(30*time.Minute - time.Second))}, true},
		"half an hour":                     {Age{Stored: stored, Local: now, Clock: says(stored.Add(30 * time.Minute))}, false},
		"a lid was closed for days":        {Age{Stored: stored, Local: now, Clock: says(stored.AddDate(0, 0, 3))}, false},
		"a clock that was set back":        {Age{Stored: stored, Local: now, Clock: says(stored.Add(-time.Second))}, false},
		"a clock that says nothing by now": {Age{Stored: stored, Local: now, Clock: says(time.Time{})}, false},
		"this machine slept, and the storage's clock did not go on": {Age{Stored: stored, Local: now.Add(-freshPack), Clock: says(stored)}, false},
		"this machine's clock was set back":                         {Age{Stored: stored, Local: now.Add(time.Hour), Clock: says(stored)}, false},
		"no sign of life":                                           {Age{Stored: stored, Local: now, Clock: says(stored), Noted: sign(false)}, false},
		"a sign of life":                                            {Age{Stored: stored, Local: now, Clock: says(stored), Noted: sign(true)}, true},
	} {
		if got := tt.age.isFresh(); got != tt.want {
			t.Errorf("%s: fresh %v, want %v", name, got, tt.want)
		}
	}
}
