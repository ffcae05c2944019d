package chunks

import (
	"testing"
	"time"
)

// TestAge tells when packs are so new that nobody can have taken them for leftovers.
func TestAge(t *testing.T) {
	stored := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	says := func(at time.Time) func() time.Time { return func() time.Time { return at } }
	for name, tt := range map[string]struct {
		age  Age
		want bool
	}{
		"a storage that does not tell":     {Age{Stored: stored}, false},
		"nothing known of before":          {Age{Clock: says(stored)}, false},
		"no answer so far":                 {Age{}, false},
		"the same second":                  {Age{stored, says(stored)}, true},
		"a quarter of an hour":             {Age{stored, says(stored.Add(15 * time.Minute))}, true},
		"just below half an hour":          {Age{stored, says(stored.Add(30*time.Minute - time.Second))}, true},
		"half an hour":                     {Age{stored, says(stored.Add(30 * time.Minute))}, false},
		"a lid was closed for days":        {Age{stored, says(stored.AddDate(0, 0, 3))}, false},
		"a clock that was set back":        {Age{stored, says(stored.Add(-time.Second))}, false},
		"a clock that says nothing by now": {Age{stored, says(time.Time{})}, false},
	} {
		if got := tt.age.isFresh(); got != tt.want {
			t.Errorf("%s: fresh %v, want %v", name, got, tt.want)
		}
	}
}
