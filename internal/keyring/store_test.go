package keyring

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/store/mem"
)

func put(t testing.TB, st Store, name string, data []byte) {
	t.Helper()
	if err := st.Create(t.Context(), name, bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
}

func TestStoreRoundTrip(t *testing.T) {
	st, ctx := mem.New(nil), t.Context()
	if _, err := LoadConfig(ctx, st); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("empty store: %v", err)
	}
	c, s := newConfig(t), newSecrets(t)
	if err := SaveConfig(ctx, st, c); err != nil {
		t.Fatal(err)
	}
	if err := SaveConfig(ctx, st, newConfig(t)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second config: %v", err)
	}
	c = must(LoadConfig(ctx, st))
	for _, k := range []key{passphraseKey("p"), x25519Key()} {
		slot, err := AddSlot(ctx, st, c, s, k.recipient, SlotOptions{Label: k.name, Created: testTime})
		if err != nil {
			t.Fatal(err)
		}
		o, err := OpenStore(ctx, st, c, k.credential())
		if err != nil || o.Slot.Name != slot.Name || o.Slot.Label != k.name {
			t.Errorf("%s: %+v, %v", k.name, o, err)
		}
	}
	put(t, st, "keys/readme", nil) // not a slot's name
	put(t, st, "keys/"+strings.Repeat("0", 64), nil)
	files := must(LoadSlots(ctx, st))
	if len(files) != 2 || files[0].Name >= files[1].Name {
		t.Errorf("%d slots", len(files))
	}
}

func TestRemoveSlotKeepsAFullOne(t *testing.T) {
	c, s, k := newConfig(t), newSecrets(t), x25519Key()
	full, full2 := newSlot(t, c, s, k.recipient, RoleFull), newSlot(t, c, s, k.recipient, RoleFull)
	writer, writer2 := newSlot(t, c, s, k.recipient, RoleWriter), newSlot(t, c, s, k.recipient, RoleWriter)
	for name, tt := range map[string]struct {
		files  []File
		remove File
		ok     bool
	}{
		"one of two full":            {[]File{full, full2}, full, true},
		"the only one":               {[]File{full}, full, false},
		"full beside a writer":       {[]File{full, writer}, full, false},
		"full beside a damaged full": {[]File{full, damaged(full2)}, full, false},
		"writer beside a full":       {[]File{full, writer}, writer, true},
		"writer beside a writer":     {[]File{writer, writer2}, writer, true},
		"the last writer":            {[]File{writer}, writer, false},
		"damaged beside a full":      {[]File{full, damaged(full2)}, full2, true},
		"damaged beside a writer":    {[]File{writer, damaged(full)}, full, false},
		"newer beside a writer":      {[]File{writer, rename([]byte(`{"version":2}`))}, rename([]byte(`{"version":2}`)), false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, force := range []bool{false, true} {
				st := mem.New(nil)
				for _, f := range tt.files {
					put(t, st, f.Name, f.Data)
				}
				err := RemoveSlot(t.Context(), st, tt.remove.Name, force)
				if ok := tt.ok || force; ok != (err == nil) || (!ok && !errors.Is(err, ErrLastFullSlot)) {
					t.Errorf("force %v: %v", force, err)
				}
				if _, _, statErr := st.Stat(t.Context(), tt.remove.Name); (err == nil) != errors.Is(statErr, fs.ErrNotExist) {
					t.Errorf("force %v: removal says %v, the store %v", force, err, statErr)
				}
			}
		})
	}
}

func TestRemoveSlotRefusesOtherNames(t *testing.T) {
	st := mem.New(nil)
	put(t, st, ConfigName, []byte(goodConfig))
	for _, name := range []string{ConfigName, "keys/", "keys/../snap.json", "keys/" + strings.Repeat("0", 31), ""} {
		if err := RemoveSlot(t.Context(), st, name, true); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := RemoveSlot(t.Context(), st, "keys/"+strings.Repeat("0", 32), true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent slot: %v", err)
	}
}

func TestLoadRefusesLargeFiles(t *testing.T) {
	st, large := mem.New(nil), bytes.Repeat([]byte(" "), 1<<20)
	put(t, st, ConfigName, large)
	if _, err := LoadConfig(t.Context(), st); !errors.Is(err, ErrCorrupt) {
		t.Errorf("config: %v", err)
	}
	put(t, st, "keys/"+strings.Repeat("0", 32), large)
	files := must(LoadSlots(t.Context(), st))
	if len(files) != 1 || len(files[0].Data) > maxFileSize+1 {
		t.Errorf("%d slots", len(files))
	}
	if _, err := ParseSlot(files[0]); !errors.Is(err, ErrDamagedSlot) {
		t.Errorf("slot: %v", err)
	}
}

// failing fails the n-th call of a store, counted from zero.
type failing struct {
	*mem.Store
	n, calls int
}

var errStore = errors.New("store failed")

func (f *failing) fails() bool { f.calls++; return f.calls-1 == f.n }

func (f *failing) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	if f.fails() {
		return errStore
	}
	return f.Store.Create(ctx, name, data, size)
}

func (f *failing) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if f.fails() {
		return 0, errStore
	}
	return f.Store.ReadAt(ctx, name, p, off)
}

func (f *failing) Remove(ctx context.Context, name string) error {
	if f.fails() {
		return errStore
	}
	return f.Store.Remove(ctx, name)
}

func TestStoreFailuresAreReported(t *testing.T) {
	c, s, k := newConfig(t), newSecrets(t), x25519Key()
	run := func(st *failing) error {
		ctx := t.Context()
		if err := SaveConfig(ctx, st, c); err != nil {
			return err
		}
		loaded, err := LoadConfig(ctx, st)
		if err != nil {
			return err
		}
		for range 2 {
			if _, err := AddSlot(ctx, st, loaded, s, k.recipient, SlotOptions{}); err != nil {
				return err
			}
		}
		o, err := OpenStore(ctx, st, loaded, k.credential())
		if err != nil {
			return err
		}
		return RemoveSlot(ctx, st, o.Slot.Name, false)
	}
	total := &failing{Store: mem.New(nil), n: -1}
	if err := run(total); err != nil {
		t.Fatal(err)
	}
	passed := 0
	for n := range total.calls {
		err := run(&failing{Store: mem.New(nil), n: n})
		if err == nil {
			passed++
		} else if !errors.Is(err, errStore) {
			t.Errorf("failure of call %d: %v", n, err)
		}
	}
	// One of two slots is enough to open, and the one to be removed need not be read.
	if passed != 3 {
		t.Errorf("%d of %d failures did no harm, want 3", passed, total.calls)
	}
}

// An unreadable slot is told of, and does not keep another from opening.
func TestUnreadableSlot(t *testing.T) {
	c, s, k := newConfig(t), newSecrets(t), x25519Key()
	unread := File{Name: newSlot(t, c, s, k.recipient, RoleFull).Name, Err: errStore}
	good := newSlot(t, c, s, k.recipient, RoleFull)
	if o, err := Open(t.Context(), c, []File{unread, good}, k.credential()); err != nil || len(o.Skipped) != 1 || !errors.Is(o.Skipped[0], errStore) {
		t.Errorf("beside a good one: %+v, %v", o, err)
	}
	_, err := Open(t.Context(), c, []File{unread, damaged(good)}, k.credential())
	if !errors.Is(err, errStore) || errors.Is(err, ErrDamagedSlot) || errors.Is(err, ErrNoSlot) {
		t.Errorf("alone: %v", err)
	}
	if err := CheckRemoval([]File{unread, good}, good.Name); !errors.Is(err, errStore) || !errors.Is(err, ErrLastFullSlot) {
		t.Errorf("removal: %v", err)
	}
}

// vanishing is a store whose listing names a slot that is gone when it is read.
type vanishing struct{ *mem.Store }

func (v vanishing) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	v.Remove(ctx, name)
	return v.Store.ReadAt(ctx, name, p, off)
}

func TestSlotRemovedMeanwhile(t *testing.T) {
	st := vanishing{mem.New(nil)}
	put(t, st, "keys/"+strings.Repeat("0", 32), []byte("x"))
	if files, err := LoadSlots(t.Context(), st); err != nil || len(files) != 0 {
		t.Errorf("%v, %v", files, err)
	}
}
