package index

import (
	"testing"
	"time"

	"github.com/snapkeep/snap/pack"
)

// TestPacksKeepTheirDay compares the day that a Set tells of each pack with that of the first index file that listed it, while index files come, are
// merged and go, and tables too.
func TestPacksKeepTheirDay(t *testing.T) {
	t.Parallel()
	older := 0
	for seed := range uint64(4) {
		r := newRepository(seed, 300)
		dir := t.TempDir()
		c := OpenCache(dir)
		days, want, again := map[pack.ID]int{}, map[pack.ID]Day{}, map[pack.ID]bool{}
		stored := func(name pack.ID) time.Time { return time.Unix(int64(days[name])*24*60*60+7, 0) }
		c.SetStored(stored)
		for day := 1000; day < 1040; day++ {
			if day == 1020 { // another process
				c.Close()
				c = OpenCache(dir)
				c.SetStored(stored)
			}
			r.change()
			listed := map[pack.ID]bool{}
			for name, packs := range r.lists {
				if days[name] == 0 {
					days[name] = day
				}
				for _, p := range packs {
					listed[p.ID] = true
					if want[p.ID] == 0 {
						want[p.ID] = Day(day)
					}
				}
			}
			for id := range want {
				again[id] = again[id] || !listed[id] // it may come back with the day of another file
			}
			r.sync(t, c)
			for _, l := range c.Set().Rows() {
				if got := l.Stored; got != want[l.Pack] && !again[l.Pack] {
					t.Fatalf("pack %s was stored on day %d, want %d", l.Pack, got, want[l.Pack])
				}
				if int(l.Stored) < day {
					older++
				}
			}
		}
		c.Close()
	}
	if older < 1000 {
		t.Errorf("only %d rows were older than the day on which they were looked up", older)
	}
}

func TestAddedPacksHaveTheDayTheyAreGiven(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 50)
	s := NewSet()
	s.spillRows = 40
	for i := range 60 {
		p := w.newPack()
		p.Stored = Day(i)
		w.packs[p.ID] = p
		s.Add(p)
	}
	rows := 0
	for _, l := range s.Rows() {
		if l.Stored != w.packs[l.Pack].Stored {
			t.Fatalf("pack %s was stored on day %d, want %d", l.Pack, l.Stored, w.packs[l.Pack].Stored)
		}
		rows++
	}
	if rows == 0 {
		t.Error("no rows")
	}
}

func TestDays(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		t    time.Time
		want Day
	}{
		{time.Time{}, 0}, {time.Unix(-1, 0), 0}, {time.Unix(24*60*60, 0), 1}, {time.Unix(24*60*60-1, 0), 0},
		{time.Date(2026, 11, 26, 23, 59, 59, 0, time.UTC), 20783}, {time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC), 0},
	} {
		if got := DayOf(test.t); got != test.want {
			t.Errorf("%v: day %d, want %d", test.t, got, test.want)
		}
	}
	if earlier(0, 5) != 5 || earlier(5, 0) != 5 || earlier(4, 5) != 4 {
		t.Error("the earlier of two days is another one")
	}
}
