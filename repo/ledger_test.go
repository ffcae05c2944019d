package repo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/pack"
)

func openLedger(t testing.TB, path string) *Ledger {
	t.Helper()
	l, err := OpenLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func checkWithLedger(t testing.TB, r *Repo, path string, o CheckOptions) *CheckResult {
	t.Helper()
	o.Ledger = openLedger(t, path)
	res, err := r.Check(t.Context(), o)
	if err != nil && !errors.Is(err, ErrDamagedFound) {
		t.Fatal(err)
	}
	if err := o.Ledger.Close(); err != nil {
		t.Fatal(err)
	}
	return res
}

// manyPacks makes a repository with several packs of data.
func manyPacks(t testing.TB, c *clock) *Repo {
	t.Helper()
	r := c.repo(t)
	rng := rand.New(rand.NewPCG(9, 9))
	f := files{}
	for i := range 8 {
		f[fmt.Sprintf("file%d", i)] = randomText(rng, 1_200_000)
	}
	mustBack(t, r, "a", f)
	return r
}

// TestLedgerCoversAllInTime runs short checks each day for 100 days. From the first time that all was covered on, each pack has
// been verified within the greatest age at the end of every day.
func TestLedgerCoversAllInTime(t *testing.T) {
	const maxAge = 20 * 24 * time.Hour
	c := newClock()
	path := filepath.Join(t.TempDir(), "state", "verified")
	var packs []index.PackInfo
	for i := range 40 {
		packs = append(packs, index.PackInfo{ID: pack.SumID(fmt.Append(nil, i)), Size: 100})
	}
	covered := 0
	for day := range 100 {
		l := openLedger(t, path)
		for i, p := range l.due(packs, c.now(), maxAge, true) {
			if i == 8 { // time is up
				break
			}
			l.note(p.ID, c.now(), dataOpened)
		}
		young := 0
		for _, p := range packs {
			if at := l.last(p.ID, true, c.now()); at != 0 && c.now().Unix()-at <= int64(maxAge/time.Second) {
				young++
			}
		}
		if young == len(packs) {
			covered++
		} else if covered > 0 || day > 4 {
			t.Fatalf("day %d: %d of %d verified in time", day, young, len(packs))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		c.sleep(24 * time.Hour)
	}
	if covered < 95 {
		t.Errorf("all covered on %d days", covered)
	}
}

// someOf returns a subset for a check that has some of the packs and not all, whatever their ids are.
func someOf(r *Repo) string {
	part := func(p index.PackInfo, of uint32) uint32 { return binary.BigEndian.Uint32(p.ID[:]) % of }
	packs := slices.Collect(r.set.Packs())
	for of := uint32(2); ; of++ {
		if n := part(packs[0], of); slices.ContainsFunc(packs, func(p index.PackInfo) bool { return part(p, of) != n }) {
			return fmt.Sprintf("%d/%d", n+1, of)
		}
	}
}

func TestCheckResumesWithLedger(t *testing.T) {
	c := newClock()
	r := manyPacks(t, c)
	path := filepath.Join(t.TempDir(), "verified")
	total := checkWithLedger(t, r, path, CheckOptions{}).Coverage
	if total.Packs < 4 || total.Never != total.Packs || total.Verified != 0 || !total.Oldest.IsZero() {
		t.Fatalf("at first: %+v", total)
	}
	// A check that has no time reads nothing and says so.
	res := checkWithLedger(t, r, path, CheckOptions{MaxAge: 10 * time.Hour, MaxDuration: time.Nanosecond})
	if res.PacksRead != 0 || res.PacksLeft != total.Packs {
		t.Errorf("without time: %+v", res)
	}
	res = checkWithLedger(t, r, path, CheckOptions{Subset: someOf(r)})
	half := res.PacksRead
	if half == 0 || half == total.Packs || res.Coverage.Verified != half || res.PacksLeft != 0 {
		t.Fatalf("half: %+v %+v", res, res.Coverage)
	}
	c.sleep(time.Hour)
	res = checkWithLedger(t, r, path, CheckOptions{MaxAge: 10 * time.Hour})
	if res.PacksRead != total.Packs-half || res.Coverage.Verified != total.Packs || res.Coverage.VerifiedBytes != res.Coverage.Bytes {
		t.Errorf("the rest: %+v %+v", res, res.Coverage)
	}
	if want := c.now().Add(-time.Hour); !res.Coverage.Oldest.Equal(want) {
		t.Errorf("oldest %v, want %v", res.Coverage.Oldest, want)
	}
	if res = checkWithLedger(t, r, path, CheckOptions{MaxAge: 10 * time.Hour}); res.PacksRead != 0 {
		t.Errorf("%d packs read again", res.PacksRead)
	}
	c.sleep(7 * time.Hour)
	if res = checkWithLedger(t, r, path, CheckOptions{MaxAge: 10 * time.Hour}); res.PacksRead != half {
		t.Errorf("%d packs read after three quarters of the time, want %d", res.PacksRead, half)
	}
	if _, err := r.Check(t.Context(), CheckOptions{MaxAge: time.Hour}); err == nil {
		t.Error("a greatest age without a ledger")
	}
}

// TestLedgerForgetsDamagedPacks: a pack that was whole and is not counts as not verified.
func TestLedgerForgetsDamagedPacks(t *testing.T) {
	c := newClock()
	r := manyPacks(t, c)
	path := filepath.Join(t.TempDir(), "verified")
	all := checkWithLedger(t, r, path, CheckOptions{ReadData: true}).Coverage
	name := names(t, r.store, "data/")[0]
	size, _, err := r.store.Stat(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, size)
	r.store.ReadAt(t.Context(), name, data, 0)
	data[size/2] ^= 1
	if err := errors.Join(r.store.Remove(t.Context(), name), r.store.Create(t.Context(), name, bytes.NewReader(data), size)); err != nil {
		t.Fatal(err)
	}
	r = reopen(t, r.store, c.options())
	res := checkWithLedger(t, r, path, CheckOptions{ReadData: true})
	if len(res.Damage) != 1 || res.Coverage.Verified != all.Packs-1 || res.Coverage.Never != 1 {
		t.Errorf("%+v %+v", res, res.Coverage)
	}
	if cov := checkWithLedger(t, r, path, CheckOptions{}).Coverage; cov.Never != 1 {
		t.Errorf("read again: %+v", cov)
	}
}

// TestLedgerSurvivesDamage flips and cuts each byte of a ledger. No pack ever seems to be verified at another time than
// it was, and the file takes entries again.
func TestLedgerSurvivesDamage(t *testing.T) {
	now := newClock().t
	path := filepath.Join(t.TempDir(), "verified")
	want := map[pack.ID]int64{}
	l := openLedger(t, path)
	for i := range 5 {
		id := pack.SumID([]byte{byte(i)})
		want[id] = now.Unix() - int64(i)
		l.note(id, time.Unix(want[id], 0), dataOpened)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil || len(good) != 6*ledgerEntrySize {
		t.Fatalf("%d bytes, %v", len(good), err)
	}
	try := func(what string, data []byte, least int) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		l := openLedger(t, path)
		for id, last := range l.reads {
			if want[id] != last.opened || want[id] != last.hashed {
				t.Fatalf("%s: %s verified at %+v", what, id, last)
			}
		}
		if len(l.reads) < least {
			t.Fatalf("%s: %d packs are left", what, len(l.reads))
		}
		id := pack.SumID([]byte("new"))
		l.note(id, now, hashesMatch)
		if err := l.Close(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		again := openLedger(t, path)
		if again.last(id, false, now) != now.Unix() || again.last(id, true, now) != 0 || len(again.reads) != len(l.reads) {
			t.Fatalf("%s: what was noted then is not there", what)
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		least := 4
		if i < ledgerEntrySize {
			least = 0
		}
		try(fmt.Sprintf("byte %d flipped", i), bad, least)
		try(fmt.Sprintf("cut to %d bytes", i), good[:i], i/ledgerEntrySize-1)
	}
}

// TestLedgerStaysSmall writes more entries than there are packs.
func TestLedgerStaysSmall(t *testing.T) {
	now := newClock().t
	path := filepath.Join(t.TempDir(), "verified")
	for range 3 {
		l := openLedger(t, path)
		for i := range 2 * ledgerSlack {
			l.note(pack.SumID([]byte{byte(i % 10)}), now.Add(time.Duration(i)*time.Second), hashesMatch)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > 12*ledgerEntrySize {
		t.Errorf("%d bytes for 10 packs, %v", info.Size(), err)
	}
	if l := openLedger(t, path); len(l.reads) != 10 {
		t.Errorf("%d packs", len(l.reads))
	}
}

// TestLedgerAndClocks: what was verified at a time that has not come is not verified.
func TestLedgerAndClocks(t *testing.T) {
	now := newClock().t
	l := openLedger(t, filepath.Join(t.TempDir(), "verified"))
	id := pack.SumID([]byte("a"))
	l.note(id, now.Add(time.Hour), dataOpened)
	if l.last(id, true, now) != 0 || l.last(id, true, now.Add(time.Hour)) == 0 {
		t.Error("a time that has not come counts")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func FuzzLedger(f *testing.F) {
	entry := makeEntry(pack.SumID([]byte("a")), 1_800_000_000, dataOpened)
	f.Add(append(append([]byte{}, ledgerHead[:]...), entry[:]...))
	f.Add(ledgerHead[:])
	f.Fuzz(func(t *testing.T, data []byte) {
		l := &Ledger{reads: map[pack.ID]lastRead{}}
		if err := l.read(bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		if len(l.reads) > len(data)/ledgerEntrySize || l.whole && len(data)%ledgerEntrySize != 0 {
			t.Errorf("%d packs, whole %v, from %d bytes", len(l.reads), l.whole, len(data))
		}
	})
}
