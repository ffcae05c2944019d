package pull

import (
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/backup"
	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/guard"
	"github.com/snapkeep/snap/internal/retention"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/repo"
)

// day is a source on one day, as its snapshot's record has it.
type day struct {
	snapshot.Summary
	machine  string
	mounts   map[string]string
	missing  []string
	canaries []string
	silent   bool // no snapshot can be made
}

// wellDay is a source of 1,000 files of which 20 change.
func wellDay() *day {
	return &day{Summary: snapshot.Summary{Files: 1000, Bytes: 1 << 30, FilesNew: 2, FilesChanged: 20, DataAdded: 20 << 20, DataAddedPacked: 8 << 20},
		machine: "m1", mounts: map[string]string{"/srv": "ext4 at /srv"}}
}

const attackDay = 60 // the first day on which all is wrong

// TestNoScenarioAgesOutGoodData lives through 400 days of a source that goes wrong on the 60th, in 14 ways. What is kept of the days before must
// stay, whatever comes.
func TestNoScenarioAgesOutGoodData(t *testing.T) {
	for name, wrong := range map[string]func(d *day, n int){
		"empty":                   func(d *day, _ int) { d.Summary = snapshot.Summary{} },
		"half of the files gone":  func(d *day, _ int) { d.Files, d.FilesNew = 490, 0 },
		"half of the bytes gone":  func(d *day, _ int) { d.Bytes /= 3 },
		"root missing":            func(d *day, _ int) { d.missing = []string{"/srv"} },
		"file system not mounted": func(d *day, _ int) { d.mounts = map[string]string{"/srv": "ext4 at /"} },
		"no file system at all":   func(d *day, _ int) { d.mounts = map[string]string{"/srv": ""} },
		"nothing can be read":     func(d *day, _ int) { d.FilesNew, d.FilesChanged, d.Unreadable = 0, 0, 1000 },
		"read but for a tenth, then not at all": func(d *day, n int) {
			d.Unreadable = 900
			if n > attackDay+100 {
				d.Unreadable = 1000
			}
		},
		"another machine":          func(d *day, _ int) { d.machine = "m2" },
		"a machine without a name": func(d *day, _ int) { d.machine = "" },
		// From the second day on the attacker changes nothing: what counts is the difference to the last good day.
		"encrypted in place": func(d *day, _ int) {
			d.FilesNew, d.FilesChanged, d.DataAdded, d.DataAddedPacked = 0, 900, 900<<20, 905<<20
		},
		"encrypted and renamed": func(d *day, _ int) {
			d.FilesNew, d.FilesChanged, d.DataAdded, d.DataAddedPacked = 1000, 0, 900<<20, 905<<20
		},
		"a canary touched": func(d *day, _ int) { d.canaries = []string{"/srv/.canary"} },
		"silent for days, then wiped": func(d *day, n int) {
			d.silent = n%3 != 0
			d.Summary = snapshot.Summary{Files: 1, Bytes: 1}
		},
	} {
		t.Run(name, func(t *testing.T) { liveThrough(t, wrong) })
	}
}

func liveThrough(t *testing.T, wrong func(d *day, n int)) {
	c := &config.Source{}
	policy := repo.Policy{KeepDaily: 7, KeepWeekly: 4, KeepMonthly: 12}
	begin := time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC)
	var all []*repo.Snapshot
	var held map[uint64]bool
	for n := range 400 {
		d := wellDay()
		if n >= attackDay {
			wrong(d, n)
		}
		if d.silent {
			continue
		}
		now := begin.AddDate(0, 0, n)
		s, class := pullDay(t, c, d, all, now, uint64(n+1))
		if (class == guard.None) != (n < attackDay) {
			t.Fatalf("day %d: class %d, %q", n, class, s.Why)
		}
		all = append(all, s)
		if class == guard.None {
			all = forgetDay(t, policy, all, now)
		}
		// Whoever runs `snap forget` by hand meets the same rule.
		if left := forgetDay(t, policy, all, now); class != guard.None && len(left) != len(all) {
			t.Fatalf("day %d: the policy lets %d snapshots go", n, len(all)-len(left))
		}
		if n == attackDay-1 {
			held = goodDays(all)
		}
	}
	for day := range held {
		if !goodDays(all)[day] {
			t.Errorf("the good snapshot of day %d is gone", day)
		}
	}
	if len(held) < 10 {
		t.Errorf("only %d snapshots were held: that proves nothing", len(held))
	}
}

// pullDay makes the record of a day's snapshot, guarded as in a pull.
func pullDay(t *testing.T, c *config.Source, d *day, all []*repo.Snapshot, now time.Time, sequence uint64) (*repo.Snapshot, guard.Class) {
	t.Helper()
	good := histories(all)["x"]
	if good == nil {
		good = &history{}
	}
	s := &repo.Snapshot{Time: now, SourceName: "x", Source: snapshot.SourceIDOf("x"), Sequence: sequence, Summary: &d.Summary,
		Origin: &snapshot.Origin{Machine: snapshot.Bytes(d.machine), Mounts: d.mounts}}
	s.ID = [32]byte{byte(sequence), byte(sequence >> 8)}
	conn := &connected{missing: func() []string { return d.missing }}
	class, why := (&Puller{}).check(t.Context(), c, s, good, d.canaries, conn)
	if class != guard.None {
		s.Marks, s.Why = []string{snapshot.MarkSuspicious}, why
	}
	return s, class
}

// forgetDay returns what the policy keeps.
func forgetDay(t *testing.T, policy repo.Policy, all []*repo.Snapshot, now time.Time) []*repo.Snapshot {
	t.Helper()
	var in []retention.Snapshot
	byID := map[retention.ID]*repo.Snapshot{}
	for _, s := range all {
		id := retention.ID(s.ID)
		byID[id] = s
		in = append(in, retention.Snapshot{ID: id, Source: "x", Time: s.Time, Sequence: s.Sequence, Suspicious: s.HasMark(snapshot.MarkSuspicious)})
	}
	decisions, err := retention.Apply(policy, now, in, retention.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var left []*repo.Snapshot
	for _, d := range decisions {
		if d.Keep {
			left = append(left, byID[d.Snapshot.ID])
		}
	}
	return left
}

func goodDays(all []*repo.Snapshot) map[uint64]bool {
	days := map[uint64]bool{}
	for _, s := range all {
		if !s.HasMark(snapshot.MarkSuspicious) {
			days[s.Sequence] = true
		}
	}
	return days
}

// TestAcceptedIsGood: what somebody has looked at takes its place again, and the hold ends.
func TestAcceptedIsGood(t *testing.T) {
	all := []*repo.Snapshot{}
	for n, marked := range []bool{false, true, false} {
		s := &repo.Snapshot{SourceName: "x", Sequence: uint64(n), Summary: &snapshot.Summary{DataAdded: 10, DataAddedPacked: 5}}
		if marked {
			s.Marks = []string{snapshot.MarkSuspicious}
		}
		all = append(all, s)
	}
	h := histories(all)["x"]
	if h.last != all[2] || h.good != (data{20, 10}) || h.held != (data{}) {
		t.Errorf("%+v", h)
	}
	if h := histories(all[:2])["x"]; h.last != all[0] || h.held != (data{10, 5}) {
		t.Errorf("%+v", h)
	}
}

func TestCanaries(t *testing.T) {
	for _, test := range []struct {
		items string
		all   bool
		want  string
	}{
		{"a:unchanged b:unchanged c:modified", false, ""},
		{"a:modified b:unchanged", false, "/a"},
		{"a:new b:unchanged", false, "/a"},
		{"a:unchanged", false, "/b"},
		{"", false, "/a /b"},
		{"a:new b:new", true, ""}, // all files were read again
		{"a:new", true, "/b"},
	} {
		c := newCanaries([]string{"/a", "/b"})
		for _, item := range strings.Fields(test.items) {
			path, action, _ := strings.Cut(item, ":")
			c.watch()(repo.Item{Path: path, Action: backup.Action(action)})
		}
		if got := strings.Join(c.touched(test.all), " "); got != test.want {
			t.Errorf("%q: %q, want %q", test.items, got, test.want)
		}
	}
	if newCanaries(nil).watch() != nil {
		t.Error("without canaries each file is looked at")
	}
}
