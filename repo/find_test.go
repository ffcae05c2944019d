package repo

import (
	"errors"
	"testing"
	"time"
)

// The newest snapshot is not the one before it because its record is damaged.
func TestFindKnowsWhatItCannotRead(t *testing.T) {
	c := newClock()
	store := c.store()
	var list []*Snapshot
	r := newTestRepo(t, store, c.options())
	for _, content := range []string{"1", "2", "3"} {
		list = append(list, mustBack(t, r, "a", files{"f": content}))
		c.sleep(time.Hour)
	}
	date := list[2].Time.Local().Format("2006-01-02 15:04:05")
	for _, test := range []struct {
		damaged int
		fails   []string
		found   map[string]int
	}{
		{2, []string{"latest", "latest~1", list[2].ID.String()[:8], date}, map[string]int{list[0].ID.String()[:8]: 0, list[1].ID.String(): 1}},
		{0, []string{"latest~2", list[0].ID.String()}, map[string]int{"latest": 2, "latest~1": 1, list[2].ID.String()[:8]: 2, date: 2}},
		{1, []string{list[1].ID.String()[:8], "latest~1"}, map[string]int{"latest": 2, date: 2}},
	} {
		name := "snapshots/" + list[test.damaged].ID.String()
		decay := func() {
			end := c.now()
			c.set(list[test.damaged].Time) // bits that rot leave the time as it was
			flipByte(t, store, name)
			c.set(end)
		}
		decay()
		r := reopen(t, store, c.options())
		for _, word := range test.fails {
			if s, err := r.Find(t.Context(), word, Filter{}); err == nil || !IsDamage(err) && !errors.Is(err, ErrNoSnapshot) {
				t.Errorf("without %d: %s is %v, %v", test.damaged, word, s, err)
			}
		}
		for word, want := range test.found {
			if s, err := r.Find(t.Context(), word, Filter{}); err != nil || s.ID != list[want].ID {
				t.Errorf("without %d: %s is %v, %v", test.damaged, word, s, err)
			}
		}
		decay() // as it was
	}
}
