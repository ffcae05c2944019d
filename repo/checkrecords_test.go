package repo

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/tree"
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
