package mem_test

import (
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Test(t, func(*testing.T) storetest.Store { return mem.New(nil) })
	storetest.TestReopen(t, func(*testing.T) func() (storetest.Store, error) {
		s := mem.New(nil)
		return func() (storetest.Store, error) { return s, nil }
	})
}

func TestClockStampsFiles(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	s := mem.New(func() time.Time { return now })
	if err := s.Create(t.Context(), "a", strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	if _, got, err := s.Stat(t.Context(), "a"); err != nil || !got.Equal(time.Unix(1000, 0)) {
		t.Errorf("Stat: time %v, error %v, want the time of Create", got, err)
	}
}

func TestCloneIsApart(t *testing.T) {
	t.Parallel()
	s := mem.New(nil)
	if err := s.Create(t.Context(), "a", strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	clone := s.Clone()
	if err := s.Remove(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if size, _, err := clone.Stat(t.Context(), "a"); err != nil || size != 1 {
		t.Errorf("Stat in the clone: size %d, error %v", size, err)
	}
}

func BenchmarkCreate(b *testing.B) {
	data := strings.Repeat("x", 1<<20)
	b.SetBytes(int64(len(data)))
	s := mem.New(nil)
	for b.Loop() {
		if err := s.Create(b.Context(), "f", strings.NewReader(data), int64(len(data))); err != nil {
			b.Fatal(err)
		}
		if err := s.Remove(b.Context(), "f"); err != nil {
			b.Fatal(err)
		}
	}
}
