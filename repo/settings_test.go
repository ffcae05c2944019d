package repo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/snapkeep/snap/internal/retention"
	"github.com/snapkeep/snap/internal/snapshot"
)

func TestSettingsComeBack(t *testing.T) {
	c := newClock()
	r := c.repo(t)
	s, err := r.Settings(t.Context())
	if err != nil || s.Sequence != 0 || len(s.Policies) != 0 {
		t.Fatalf("without any: %+v, %v", s, err)
	}
	id := snapshot.SourceIDOf("web1:/srv")
	within, err := retention.ParseDuration("1y6m")
	if err != nil {
		t.Fatal(err)
	}
	p := Policy{KeepDaily: 7, KeepWithin: within, KeepTags: []string{"a,b"}, Zone: "Europe/Berlin"}
	if err := r.SetPolicy(t.Context(), id, "web1:/srv", p); err != nil {
		t.Fatal(err)
	}
	if _, err := r.UpdateSettings(t.Context(), func(s *Settings) error { s.Compression, s.PackSize = "max", 8<<20; return nil }); err != nil {
		t.Fatal(err)
	}
	r = reopen(t, r.store, c.options())
	s, err = r.Settings(t.Context())
	want := &Settings{Version: 1, Sequence: 2, Compression: "max", PackSize: 8 << 20, Policies: map[SourceID]StoredPolicy{id: {"web1:/srv", p}}}
	if err != nil || !cmp.Equal(s, want) {
		t.Errorf("%v, %s", err, cmp.Diff(want, s))
	}
	if got, err := r.Policy(t.Context(), id); err != nil || !cmp.Equal(got, p) {
		t.Errorf("policy: %+v, %v", got, err)
	}
	if err := r.RemovePolicy(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := r.RemovePolicy(t.Context(), id); !errors.Is(err, ErrNoPolicy) {
		t.Errorf("removed twice: %v", err)
	}
	if _, err := r.Policy(t.Context(), id); !errors.Is(err, ErrNoPolicy) {
		t.Errorf("removed: %v", err)
	}
	mustCheck(t, r)
}

// TestSettingsOfManyAtOnce lets several change different policies at the same time. None is lost.
func TestSettingsOfManyAtOnce(t *testing.T) {
	c := newClock()
	store := c.store()
	newTestRepo(t, store, c.options())
	var group sync.WaitGroup
	for i := range 4 {
		r := reopen(t, store, c.options())
		group.Go(func() {
			for k := range 5 {
				name := fmt.Sprintf("source %d.%d", i, k)
				for {
					err := r.SetPolicy(t.Context(), snapshot.SourceIDOf(name), name, DefaultPolicy())
					if errors.Is(err, ErrSettingsContended) {
						continue // it says so, and a person runs it again
					}
					if err != nil {
						t.Error(err)
					}
					break
				}
			}
		})
	}
	group.Wait()
	s, err := reopen(t, store, c.options()).Settings(t.Context())
	if err != nil || len(s.Policies) != 20 {
		t.Errorf("%d policies, %v", len(s.Policies), err)
	}
}

// TestDamagedSettingsAreNotPassedOver makes sure that older settings, which may keep less, do not take the place of
// damaged ones.
func TestDamagedSettingsAreNotPassedOver(t *testing.T) {
	c := newClock()
	store := c.store()
	r := newTestRepo(t, store, c.options())
	id := snapshot.SourceIDOf("a")
	for _, n := range []int{1, 100} {
		if err := r.SetPolicy(t.Context(), id, "a", Policy{KeepLast: n}); err != nil {
			t.Fatal(err)
		}
	}
	all := names(t, store, settingsPrefix)
	last := all[0]
	for _, name := range all {
		last = max(last, name)
	}
	data := make([]byte, 1<<16)
	n, _ := store.ReadAt(t.Context(), last, data, 0)
	data = data[:n]
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 4
		if err := errors.Join(store.Remove(t.Context(), last), store.Create(t.Context(), last, bytes.NewReader(bad), int64(len(bad)))); err != nil {
			t.Fatal(err)
		}
		if p, err := r.Policy(t.Context(), id); !IsDamage(err) {
			t.Fatalf("byte %d flipped: %+v, %v", i, p, err)
		}
	}
	if _, err := r.Check(t.Context(), CheckOptions{}); !errors.Is(err, ErrDamagedFound) {
		t.Errorf("check: %v", err)
	}
}

func TestDecodeSettingsRefuses(t *testing.T) {
	for name, body := range map[string]string{
		"no JSON":          `{`,
		"no version":       `{}`,
		"compression":      `{"version":1,"sequence":1,"compression":"lots"}`,
		"pack size":        `{"version":1,"sequence":1,"pack_size":5}`,
		"source":           `{"version":1,"sequence":1,"policies":{"x":{"keep":{"keep_last":1}}}}`,
		"nothing kept":     `{"version":1,"sequence":1,"policies":{"00000000000000000000000000000000":{"keep":{}}}}`,
		"unknown rule":     `{"version":1,"sequence":1,"policies":{"00000000000000000000000000000000":{"keep":{"keep_last":1,"keep_secretly":2}}}}`,
		"unknown zone":     `{"version":1,"sequence":1,"policies":{"00000000000000000000000000000000":{"keep":{"keep_last":1,"zone":"Mars"}}}}`,
		"negative numbers": `{"version":1,"sequence":-1}`,
	} {
		if s, err := decodeSettings([]byte(body)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	if _, err := decodeSettings([]byte(`{"version":2,"policies":["of another kind"]}`)); !errors.Is(err, ErrNewer) {
		t.Errorf("newer: %v", err)
	}
}

func FuzzDecodeSettings(f *testing.F) {
	f.Add([]byte(`{"version":1,"sequence":3,"compression":"max","pack_size":8388608,"policies":{"00000000000000000000000000000000":{"name":"a","keep":{"keep_last":1}}}}`))
	f.Add([]byte(`{"version":1,"sequence":1,"policies":{"00000000000000000000000000000000":{"name":{"b64":"gA=="},"keep":{"keep_within":"1y"}}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := decodeSettings(body)
		if err != nil {
			return
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeSettings(text)
		if err != nil || len(again.Policies) != len(s.Policies) || again.Sequence != s.Sequence {
			t.Errorf("%s became %+v, %v", text, again, err)
		}
	})
}

func TestForgetPlanStored(t *testing.T) {
	c := newClock()
	r := c.repo(t)
	for range 5 {
		for _, name := range []string{"a", "b", "c"} {
			mustBack(t, r, name, files{"x": name + c.now().String()})
		}
		c.sleep(24 * time.Hour)
	}
	for name, n := range map[string]int{"a": 2, "b": 4, "gone": 1} {
		id, got, known, err := r.Source(t.Context(), name)
		if err != nil || got != name || known != (name != "gone") {
			t.Fatalf("source %s: %q, %v, %v", name, got, known, err)
		}
		if err := r.SetPolicy(t.Context(), id, name, Policy{KeepLast: n}); err != nil {
			t.Fatal(err)
		}
		if again, got, _, err := r.Source(t.Context(), id.String()); err != nil || again != id || got != name {
			t.Errorf("source by id: %s %q, %v", again, got, err)
		}
	}
	plan, without, err := r.ForgetPlanStored(t.Context(), Filter{}, ForgetPlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(without) != 1 || without[0].Name != "c" || len(plan.Sources) != 2 || len(plan.Remove()) != 3+1 {
		t.Errorf("plan %+v, without %+v", plan, without)
	}
	for _, s := range plan.Sources {
		if !strings.Contains("ab", s.Name) || s.Policy.KeepLast == 0 {
			t.Errorf("%+v", s)
		}
	}
}
