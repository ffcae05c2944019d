package repo

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/parity"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// TestCheckReadsWhatRecordsSay stores records that are authentic and say what no decoder takes, one at a time.
func TestCheckReadsWhatRecordsSay(t *testing.T) {
	id := strings.Repeat("ab", 32)
	for _, c := range []struct {
		kind sealed.Kind
		body string
		want error
	}{
		{sealed.Label, `{"version":1,"snapshot":"` + id + `","counter":1,"tags":[7]}`, ErrDamaged},
		{sealed.Label, `{"version":2,"tags":7}`, ErrNewer},
		{sealed.Prune, `{"version":1,"condemned":["ab"]}`, ErrDamaged},
		{sealed.Prune, `{"version":1,"condemned":["` + id + `"],"Condemned":[]}`, ErrDamaged},
		{sealed.Pending, `{"version":1}`, ErrDamaged},
		{sealed.Pending, `{"version":2}`, ErrNewer},
		{sealed.Trash, `{"version":1,"version":1}`, ErrDamaged},
		{sealed.Settings, `{"version":1,"sequence":7}`, ErrDamaged},
		{sealed.Settings, `{"version":1,"sequence":1,"policies":{"` + id[:32] + `":{"keep":{"keep_tides":3}}}}`, ErrDamaged},
		{sealed.Settings, `{"version":2,"policies":[]}`, ErrNewer},
		{sealed.Log, `{"version":1,"what":7}`, ErrDamaged},
		{sealed.Log, `{"version":2,"what":7}`, ErrNewer},
	} {
		r := newClock().repo(t)
		sum, file, err := r.records.Seal(c.kind, []byte(c.body))
		if err != nil {
			t.Fatal(err)
		}
		name := c.kind.Prefix + sum.String()
		switch c.kind {
		case sealed.Settings:
			name = fmt.Sprintf("%s00000001-%s", c.kind.Prefix, sum.String()[:8])
		case sealed.Log:
			name = c.kind.Prefix + "0000000001-" + sum.String()
		}
		if err := r.store.Create(t.Context(), name, bytes.NewReader(file), int64(len(file))); err != nil {
			t.Fatal(err)
		}
		result, err := r.Check(t.Context(), CheckOptions{})
		if !errors.Is(err, ErrDamagedFound) || len(result.Damage) != 1 || result.Damage[0].Name != name || !errors.Is(result.Damage[0].Err, c.want) {
			t.Errorf("%s %s: got %+v, %v, want %v", c.kind.Prefix, c.body, result, err, c.want)
		}
	}
}

// TestDamagedLabelIsTold makes sure that an error over a label tells what is wrong with it.
func TestDamagedLabelIsTold(t *testing.T) {
	for body, want := range map[string]error{`{"version":1}`: ErrDamaged, `{"version":2}`: ErrNewer} {
		r := newClock().repo(t)
		if _, err := r.records.Save(t.Context(), sealed.Label, []byte(body)); err != nil {
			t.Fatal(err)
		}
		if _, err := r.labels(t.Context()); !errors.Is(err, want) || IsDamage(err) == IsNewer(err) {
			t.Errorf("%s: got %v, want %v", body, err, want)
		}
	}
}

// TestTooLongAPathIsLeftOut makes sure that a snapshot of a folder that no tree can hold is whole but for that.
func TestTooLongAPathIsLeftOut(t *testing.T) {
	r := newClock().repo(t)
	deep := strings.Repeat(strings.Repeat("d", 250)+"/", 270)
	res, err := r.Backup(t.Context(), BackupOptions{Source: files{"beside": "x", deep + "file": "y"}, SourceName: "a", Granularity: 1})
	if err != nil || res.Snapshot.Summary.Unreadable != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	mustRestore(t, r, res.Snapshot, files{"beside": "x"})
	mustCheck(t, r)
	var left []Entry
	err = r.Walk(t.Context(), res.Snapshot, "", func(dir string, entries []Entry) error {
		for _, x := range entries {
			if x.Marks&tree.MarkUnreadable != 0 {
				left = append(left, x)
			}
		}
		return nil
	})
	if err != nil || len(left) != 1 || left[0].Problem == "" {
		t.Errorf("entries %+v, %v", left, err)
	}
}

// TestCheckFindsParityOfAnotherSize changes what parity says of its pack's size, which whoever reaches the storage can do.
func TestCheckFindsParityOfAnotherSize(t *testing.T) {
	r := newTestRepo(t, mem.New(nil), Options{Parity: ParityOn})
	mustBack(t, r, "a", files{"x": strings.Repeat("some text ", 1000)})
	name := names(t, r.store, "parity/")[0]
	file, err := sealed.ReadFile(t.Context(), r.store, name, parity.MaxFileSize)
	if err != nil {
		t.Fatal(err)
	}
	p, err := parity.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	head := 64 + 16 + 4*(int(p.Size+4095)/4096+2) // docs/format.md section 13.1
	for _, h := range [][]byte{file[:head], file[len(file)-head:]} {
		h[16]++
		sum := pack.SumID(h[:head-16])
		copy(h[head-16:], sum[:16])
	}
	if other, err := parity.Parse(file); err != nil || other.Size != p.Size+1 {
		t.Fatal(err)
	}
	if err := r.store.Remove(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Create(t.Context(), name, bytes.NewReader(file), int64(len(file))); err != nil {
		t.Fatal(err)
	}
	result, err := r.Check(t.Context(), CheckOptions{ReadData: true})
	if !errors.Is(err, ErrDamagedFound) || len(result.Damage) != 1 || result.Damage[0].Name != name {
		t.Fatalf("got %+v, %v", result, err)
	}
	if _, err := r.Repair(t.Context(), RepairOptions{}); err != nil && !errors.Is(err, ErrDamagedFound) {
		t.Fatal(err)
	}
	mustCheck(t, r)
}
