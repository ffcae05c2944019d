package s3_test

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/s3test"
	"github.com/snapkeep/snap/internal/store"
	"github.com/snapkeep/snap/internal/store/s3"
)

// lockable returns a store in a bucket with Object Lock.
func lockable(t *testing.T) (*s3test.Server, string, *s3.Store) {
	t.Helper()
	server := s3test.StartWith(t, s3test.Options{Versions: true})
	place := location(server, "p")
	st, err := s3.Create(t.Context(), place, s3.Options{Credentials: server.Credentials(), ObjectLock: true, PartBytes: 5 << 20, ListPage: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return server, place.Bucket, st
}

func put(t *testing.T, st store.Store, name string, data []byte) {
	t.Helper()
	if err := st.Create(t.Context(), name, bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
}

func versionsOf(t *testing.T, st *s3.Store, name string) (all []store.Version) {
	t.Helper()
	err := st.Versions(t.Context(), name, func(_ string, v store.Version) error {
		all = append(all, v)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func get(t *testing.T, st store.Store, name string) ([]byte, error) {
	t.Helper()
	size, _, err := st.Stat(t.Context(), name)
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if n, err := st.ReadAt(t.Context(), name, data, 0); n < len(data) {
		return nil, err
	}
	return data, nil
}

// TestLockedObjectsOutliveAnAttack puts objects whole and in parts under a lock, lets somebody with all keys delete what he can, and reads all as
// of the time before.
func TestLockedObjectsOutliveAnAttack(t *testing.T) {
	t.Parallel()
	server, bucket, st := lockable(t)
	if ok, err := st.CanLock(t.Context()); err != nil || !ok {
		t.Fatalf("can lock: %v, %v", ok, err)
	}
	for _, mode := range []string{"compliance", "governance"} {
		if err := st.LockNew(mode, time.Hour, func(name string) bool { return strings.HasPrefix(name, "free/") }); err != nil {
			t.Fatal(err)
		}
		put(t, st, mode+"/small", []byte("small"))
		put(t, st, mode+"/large", bytes.Repeat([]byte("large"), 6<<18))
	}
	put(t, st, "free/x", []byte("free"))
	put(t, st, "compliance/gone", []byte("gone"))
	for _, mode := range []string{"compliance", "governance"} {
		for _, name := range []string{mode + "/small", mode + "/large"} {
			v := versionsOf(t, st, name)
			if len(v) != 1 || !v[0].Latest || v[0].Removed {
				t.Fatalf("%s: %+v", name, v)
			}
			until, got, err := st.LockedUntil(t.Context(), name, v[0].ID)
			if left := time.Until(until); err != nil || got != mode || left < 50*time.Minute || left > time.Hour {
				t.Errorf("%s is locked until %v in mode %q, %v", name, until, got, err)
			}
			if err := st.Lock(t.Context(), name, v[0].ID, mode, time.Now().Add(3*time.Hour)); err != nil {
				t.Errorf("extend: %v", err)
			}
			if until, _, err := st.LockedUntil(t.Context(), name, v[0].ID); err != nil || time.Until(until) < 2*time.Hour {
				t.Errorf("extended until %v, %v", until, err)
			}
			if err := st.RemoveVersion(t.Context(), name, v[0].ID); !errors.Is(err, s3.ErrLocked) || !errors.Is(err, fs.ErrPermission) {
				t.Errorf("remove a locked version: %v", err)
			}
		}
	}
	if until, mode, err := st.LockedUntil(t.Context(), "free/x", versionsOf(t, st, "free/x")[0].ID); err != nil || !until.IsZero() || mode != "" {
		t.Errorf("what is exempt is locked until %v, %v", until, err)
	}
	time.Sleep(1100 * time.Millisecond) // times have whole seconds
	if err := st.Remove(t.Context(), "compliance/gone"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond)
	before := time.Now()
	time.Sleep(1100 * time.Millisecond)
	put(t, st, "later", []byte("later"))
	if err := server.DeleteAll(bucket); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, st, "compliance/small"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the attack did nothing: %v", err)
	}
	past := st.AsOf(before)
	for name, want := range map[string]int{"compliance/small": 5, "compliance/large": 5 * 6 << 18, "governance/small": 5, "governance/large": 5 * 6 << 18} {
		if data, err := get(t, past, name); err != nil || len(data) != want {
			t.Errorf("%s as of then: %d bytes, %v", name, len(data), err)
		}
	}
	names := map[string]bool{}
	if err := past.List(t.Context(), "", func(name string, _ int64, _ time.Time) error { names[name] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if len(names) != 4 {
		t.Errorf("as of then there were %v", names)
	}
	if err := past.Create(t.Context(), "x", strings.NewReader(""), 0); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("create in the past: %v", err)
	}
	if err := past.Remove(t.Context(), "compliance/small"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("remove from the past: %v", err)
	}
}

// TestAsOfShowsWhatWasShown follows a name that is removed and taken again.
func TestAsOfShowsWhatWasShown(t *testing.T) {
	t.Parallel()
	_, _, st := lockable(t)
	var times []time.Time
	tick := func() {
		time.Sleep(1100 * time.Millisecond)
		times = append(times, time.Now())
		time.Sleep(1100 * time.Millisecond)
	}
	tick()
	put(t, st, "f", []byte("one"))
	tick()
	if err := st.Remove(t.Context(), "f"); err != nil {
		t.Fatal(err)
	}
	tick()
	put(t, st, "f", []byte("second"))
	tick()
	for i, want := range []string{"", "one", "", "second"} {
		got, err := get(t, st.AsOf(times[i]), "f")
		if string(got) != want || (want == "") != errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%d: %q, %v", i, got, err)
		}
	}
	// What nothing locks goes for good, markers too.
	for _, v := range versionsOf(t, st, "f") {
		if err := st.RemoveVersion(t.Context(), "f", v.ID); err != nil {
			t.Error(err)
		}
	}
	if left := versionsOf(t, st, "f"); len(left) != 0 {
		t.Errorf("%+v are left", left)
	}
}
