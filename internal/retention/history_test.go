package retention

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// zones are those of the random histories: clocks that change at midnight or
// one minute after it, by half an hour, at all hours, a zone that skipped a
// day, and plain ones.
var zones = []string{
	"UTC", "", "Europe/Berlin", "America/New_York", "America/St_Johns", "Australia/Lord_Howe",
	"Pacific/Apia", "America/Sao_Paulo", "Africa/Casablanca", "Asia/Beirut", "Asia/Kathmandu",
	"Pacific/Kiritimati", "Atlantic/Azores", "America/Havana",
}

// histories returns how many random histories to run: few by default, or what
// SNAP_RETENTION_HISTORIES says.
func histories(t *testing.T, usual int) int {
	t.Helper()
	text := os.Getenv("SNAP_RETENTION_HISTORIES")
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("SNAP_RETENTION_HISTORIES: %v", err)
	}
	return n
}

func newRand(seed int) *rand.Rand { return rand.New(rand.NewPCG(uint64(seed), 7)) }

// numbered returns an ID that differs for each n and is not ordered as n is.
func numbered(n int) ID {
	var id ID
	binary.LittleEndian.PutUint64(id[:], uint64(n)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

// randomPolicy is 7/4/12 half of the time.
func randomPolicy(r *rand.Rand) Policy {
	p := DefaultPolicy()
	p.Zone = zones[r.IntN(len(zones))]
	if r.IntN(2) == 0 {
		return p
	}
	p = Policy{Zone: p.Zone, Overlap: r.IntN(3) == 0}
	for _, f := range p.counts() {
		switch r.IntN(8) {
		case 0, 1, 2:
			*f.value = 1 + r.IntN(6)
		case 3:
			if r.IntN(4) == 0 {
				*f.value = All
			}
		}
	}
	for _, f := range p.spans() {
		if r.IntN(6) == 0 {
			*f.value = randomDuration(r)
		}
	}
	if r.IntN(4) == 0 {
		p.KeepTags = []string{[]string{"a", "b", "a,b", "", "typo"}[r.IntN(5)]}
	}
	return p
}

func randomDuration(r *rand.Rand) Duration {
	var d Duration
	for _, p := range append(d.datePart(), d.timePart()...) {
		if r.IntN(4) == 0 {
			*p.value = r.IntN(15)
		}
	}
	d.Years %= 3
	return d
}

// randomTimes returns up to 60 moments in order: daily, hourly, several a day,
// sparse, sparse and then daily, or in bursts, with missing days, often around
// a change of clocks.
func randomTimes(r *rand.Rand) []time.Time {
	starts := []time.Time{
		time.Date(2011, 12, 25, 9, 30, 0, 0, time.UTC),
		time.Date(2024, 3, 28, 21, 0, 0, 0, time.UTC),
		time.Date(2010, 11, 4, 2, 0, 0, 0, time.UTC),
		time.Date(2018, 10, 30, 1, 15, 0, 0, time.UTC),
		time.Date(1969, 12, 20, 0, 0, 0, 0, time.UTC),
	}
	t := starts[r.IntN(len(starts))].Add(time.Duration(r.IntN(48*60)) * time.Minute)
	pattern := r.IntN(7)
	times := make([]time.Time, 1+r.IntN(60))
	for i := range times {
		switch pattern {
		case 0:
			t = t.Add(24 * time.Hour)
		case 1:
			t = t.Add(time.Duration(20+r.IntN(50)) * time.Minute)
		case 2:
			t = t.Add(time.Duration(1+r.IntN(30)) * time.Hour)
		case 3:
			t = t.Add(time.Duration(1+r.IntN(40)) * 24 * time.Hour)
		case 4:
			t = t.Add(time.Duration(r.ExpFloat64() * float64(60*time.Hour)))
		case 5:
			t = t.Add(24 * time.Hour)
			if i < len(times)/2 {
				t = t.Add(time.Duration(r.IntN(30)) * 24 * time.Hour)
			}
		default:
			t = t.AddDate(0, 0, r.IntN(2)*r.IntN(9)).Add(time.Duration(r.IntN(3)*r.IntN(90)) * time.Minute)
		}
		times[i] = t
	}
	return times
}

// randomHistory is a history of up to three sources with everything that goes
// wrong, and the moment at which to look at it.
func randomHistory(r *rand.Rand) (now time.Time, snapshots []Snapshot, o Options) {
	troubled := r.IntN(2) == 0
	for n := range 1 + r.IntN(3) {
		times := randomTimes(r)
		for i, t := range times {
			s := Snapshot{
				ID:     numbered(n*1000 + i),
				Source: string(rune('a' + n)),
				Time:   t,
			}
			if troubled {
				trouble(r, &s, i)
			}
			snapshots = append(snapshots, s)
			if t.After(now) {
				now = t
			}
		}
	}
	now = now.Add(time.Duration(r.IntN(48)) * time.Hour)
	if troubled && r.IntN(8) == 0 {
		now = now.AddDate(0, 0, -r.IntN(60))
	}
	if troubled && r.IntN(8) == 0 {
		o.Clocks = []time.Time{now, now.Add(time.Duration(r.IntN(16)-8) * time.Minute)}
	}
	o.ReleaseSuspicious = r.IntN(2) == 0
	r.Shuffle(len(snapshots), func(i, j int) { snapshots[i], snapshots[j] = snapshots[j], snapshots[i] })
	return now, snapshots, o
}

// trouble gives a snapshot flags, tags, a number and a wrong clock, sometimes.
func trouble(r *rand.Rand, s *Snapshot, i int) {
	s.Pinned = r.IntN(15) == 0
	s.Suspicious = r.IntN(8) == 0
	s.Partial = r.IntN(8) == 0
	for _, tag := range []string{"a", "b"} {
		if r.IntN(6) == 0 {
			s.Tags = append(s.Tags, tag)
		}
	}
	if r.IntN(3) > 0 {
		s.Sequence = uint64(i + 1 - r.IntN(2))
	}
	if r.IntN(25) == 0 {
		s.Time = s.Time.Add(time.Duration(r.IntN(200)-100) * time.Hour)
	}
}
