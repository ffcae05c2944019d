package retention

import (
	"testing"
	"time"
)

var unitNames = map[unit]string{hour: "hourly", day: "daily", week: "weekly", month: "monthly", quarter: "quarterly", year: "yearly"}

// Periods by number are the periods by name, in the same order.
func TestPeriodsAgreeWithNames(t *testing.T) {
	t.Parallel()
	for _, name := range zones {
		zone, err := Policy{Zone: name}.location()
		if err != nil {
			t.Fatal(err)
		}
		r := newRand(1)
		for range 300 {
			// 1850 to 2150, within the four digits that names have.
			at := time.Unix(r.Int64N(300*365*daySeconds)-120*365*daySeconds, 0).In(zone)
			next := at.Add(time.Duration(r.Int64N(int64(40 * 24 * time.Hour))))
			a, b := periodsOf(at, zone), periodsOf(next, zone)
			for u := range unitCount {
				want := label(unitNames[u], at)
				if got := nameOf(u, a[u]); got != want {
					t.Fatalf("unit %d of %v is %s, want %s", u, at, got, want)
				}
				if same := want == label(unitNames[u], next); same != (a[u] == b[u]) {
					t.Fatalf("unit %d of %v and %v: same is %v", u, at, next, !same)
				}
				if u == hour {
					continue
				}
				first := firstDay(u, a[u])
				if numberOf(u, first) != a[u].number || numberOf(u, first-1) != a[u].number-1 {
					t.Fatalf("unit %d of %v does not begin on day %d", u, at, first)
				}
			}
		}
	}
}

func TestFarTimes(t *testing.T) {
	t.Parallel()
	far := []time.Time{{}, time.Unix(1<<60, 0), time.Unix(-1<<60, 0), time.Unix(1<<40, 0)}
	decisions := apply(t, DefaultPolicy(), time.Unix(0, 0), series("s", far...), Options{Estimate: true})
	if got := len(kept(decisions)); got != len(far) {
		t.Errorf("%d kept, want all", got)
	}
	if _, err := Explain(DefaultPolicy(), decisions); err != nil {
		t.Error(err)
	}
}
