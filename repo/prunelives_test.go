package repo

import (
	"fmt"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/prune"
	"github.com/snapkeep/snap/pack"
)

// TestStreamsFollowPolicies looks at how long snapshots of several sources are thought to stay.
func TestStreamsFollowPolicies(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := c.repo(t)
	made := map[string][]*Snapshot{}
	for day := range 100 {
		c.sleep(24 * time.Hour)
		for _, name := range []string{"default", "briefly", "forever"} {
			made[name] = append(made[name], mustBack(t, r, name, files{"f": fmt.Sprint(name, day)}))
		}
	}
	for name, policy := range map[string]Policy{"briefly": {KeepLast: 3}, "forever": {KeepDaily: 100_000}} {
		if err := r.SetPolicy(t.Context(), made[name][0].Source, name, policy); err != nil {
			t.Fatal(err)
		}
	}
	last := func(name string, n int) *Snapshot { return made[name][len(made[name])-n] }
	mustForget(t, r, ForgetOptions{}, last("forever", 5))

	o, err := PruneOptions{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	p := &pruner{r: r, o: o, result: &PruneResult{}, now: c.now(), known: map[pack.ID]*Snapshot{}}
	v, err := p.look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	streams := p.streams(t.Context(), v)
	if len(streams) != 300 {
		t.Errorf("%d snapshots have a stream", len(streams))
	}
	for _, test := range []struct {
		what string
		s    *Snapshot
		want prune.Stream
	}{
		{"the latest", last("default", 1), prune.Current},
		{"the latest of few", last("briefly", 1), prune.Current},
		{"the latest of all", last("forever", 1), prune.Current},
		{"yesterday's, which its policy keeps for days", last("briefly", 2), prune.Short},
		{"an old one, which its policy does not keep", made["briefly"][50], prune.Short},
		{"one that its policy keeps for years", last("forever", 2), prune.Long},
		{"a forgotten one", last("forever", 5), prune.Short},
		{"one in the middle of an old month", made["default"][14], prune.Short},
		{"the end of a month", made["default"][29], prune.Long}, // 31 July
	} {
		if got := streams[test.s.ID]; got != test.want {
			t.Errorf("%s goes to stream %d, want %d", test.what, got, test.want)
		}
	}
}
