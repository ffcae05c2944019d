package ratelimit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snapkeep/snap/internal/store"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Test(t, func(*testing.T) storetest.Store {
		const fast = 1 << 30
		return Wrap(mem.New(nil), New(fast), New(fast))
	})
}

// elapsed runs f in virtual time and returns how long it took.
func elapsed(t *testing.T, f func(t *testing.T)) time.Duration {
	var took time.Duration
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		f(t)
		took = time.Since(start)
	})
	return took
}

// near reports whether a flow of 10 seconds, less what the full bucket gives at
// once, took its time.
func near(t *testing.T, what string, got time.Duration) {
	t.Helper()
	const want = 10*time.Second - burstTime
	if d := got - want; d.Abs() > time.Millisecond {
		t.Errorf("%s took %v, want %v", what, got, want)
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	for _, kib := range []int{1, 10, 1000} {
		data := make([]byte, 10*kib<<10)
		near(t, "Create", elapsed(t, func(t *testing.T) {
			s := Wrap(mem.New(nil), New(kib), nil)
			if err := s.Create(t.Context(), "f", bytes.NewReader(data), int64(len(data))); err != nil {
				t.Error(err)
			}
		}))
		near(t, "Spool", elapsed(t, func(t *testing.T) {
			s := Wrap(mem.New(nil), New(kib), nil)
			w, commit, err := s.(store.Spooler).Spool(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if n, err := w.Write(data); n != len(data) || err != nil {
				t.Errorf("Write: %d bytes, error %v", n, err)
			}
			if err := commit(t.Context(), "f"); err != nil {
				t.Error(err)
			}
		}))
		near(t, "ReadAt", elapsed(t, func(t *testing.T) {
			inner := mem.New(nil)
			if err := inner.Create(t.Context(), "f", bytes.NewReader(data), int64(len(data))); err != nil {
				t.Error(err)
			}
			s := Wrap(inner, nil, New(kib))
			if n, err := s.ReadAt(t.Context(), "f", make([]byte, len(data)+100), 0); n != len(data) || err != io.EOF {
				t.Errorf("ReadAt: %d bytes, error %v", n, err)
			}
		}))
	}
}

func TestRateIsShared(t *testing.T) {
	t.Parallel()
	near(t, "ten readers", elapsed(t, func(t *testing.T) {
		inner := mem.New(nil)
		data := make([]byte, 100<<10)
		if err := inner.Create(t.Context(), "f", bytes.NewReader(data), int64(len(data))); err != nil {
			t.Error(err)
		}
		s := Wrap(inner, nil, New(100))
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if n, err := s.ReadAt(t.Context(), "f", make([]byte, len(data)), 0); n != len(data) || err != nil && err != io.EOF {
					t.Errorf("ReadAt: %d bytes, error %v", n, err)
				}
			})
		}
		wg.Wait()
	}))
}

func TestDirectionsAreApart(t *testing.T) {
	t.Parallel()
	took := elapsed(t, func(t *testing.T) {
		s := Wrap(mem.New(nil), nil, New(1))
		if err := s.Create(t.Context(), "f", strings.NewReader(strings.Repeat("x", 1<<20)), 1<<20); err != nil {
			t.Error(err)
		}
	})
	if took != 0 {
		t.Errorf("an upload without limit took %v", took)
	}
}

// TestPauseFillsTheBucketOnly checks that a long pause does not allow a long
// burst.
func TestPauseFillsTheBucketOnly(t *testing.T) {
	t.Parallel()
	near(t, "after a pause", elapsed(t, func(t *testing.T) {
		l := New(100)
		time.Sleep(time.Hour)
		if err := l.Wait(t.Context(), 1000<<10); err != nil {
			t.Error(err)
		}
	})-time.Hour)
}

func TestWaitEndsWithContext(t *testing.T) {
	t.Parallel()
	took := elapsed(t, func(t *testing.T) {
		l := New(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Wait(ctx, 1<<30); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait: %v, want DeadlineExceeded", err)
		}
		// What did not pass does not count: the bucket is full.
		if err := l.Wait(t.Context(), 256); err != nil {
			t.Error(err)
		}
	})
	if took != time.Second {
		t.Errorf("took %v, want 1s", took)
	}
}

func TestCreateEndsWithContext(t *testing.T) {
	t.Parallel()
	elapsed(t, func(t *testing.T) {
		inner := mem.New(nil)
		s := Wrap(inner, New(1), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := s.Create(ctx, "f", bytes.NewReader(make([]byte, 1<<20)), 1<<20)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Create: %v, want DeadlineExceeded", err)
		}
		if _, _, err := inner.Stat(t.Context(), "f"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Stat: %v, want fs.ErrNotExist", err)
		}
	})
}

func TestWrapKeepsAbilities(t *testing.T) {
	t.Parallel()
	plain := struct{ store.Store }{mem.New(nil)}
	if _, ok := Wrap(plain, New(1), nil).(store.Spooler); ok {
		t.Error("a store that is no Spooler became one")
	}
	if s := Wrap(plain, New(0), New(-1)); s != store.Store(plain) {
		t.Error("without limits the store is wrapped")
	}
	var seen io.Reader
	s := Wrap(spy{mem.New(nil), &seen}, New(1<<20), nil)
	if err := s.Create(t.Context(), "a", strings.NewReader("x"), 1); err != nil {
		t.Error(err)
	}
	if _, ok := seen.(io.Seeker); !ok {
		t.Error("data that can seek cannot any more")
	}
	if err := s.Create(t.Context(), "b", io.LimitReader(strings.NewReader("x"), 1), 1); err != nil {
		t.Error(err)
	}
	if _, ok := seen.(io.Seeker); ok {
		t.Error("data that cannot seek can now")
	}
}

// spy keeps the reader that Create is given.
type spy struct {
	store.Store
	seen *io.Reader
}

func (s spy) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	*s.seen = data
	return s.Store.Create(ctx, name, data, size)
}
