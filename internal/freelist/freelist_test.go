package freelist_test

import (
	"runtime"
	"sync"
	"testing"

	"github.com/snapkeep/snap/internal/freelist"
)

func TestListKeepsUpToMax(t *testing.T) {
	l := freelist.List[int]{Max: 2}
	if _, ok := l.Get(); ok {
		t.Error("an empty list gave a value")
	}
	for i := range 3 {
		l.Put(i)
	}
	for _, want := range []int{1, 0} {
		if got, ok := l.Get(); !ok || got != want {
			t.Errorf("Get = %d, %v; want %d", got, ok, want)
		}
	}
	if v, ok := l.Get(); ok {
		t.Errorf("Get = %d beyond Max", v)
	}
	var zero freelist.List[int]
	for i := range runtime.GOMAXPROCS(0) + 1 {
		zero.Put(i)
	}
	kept := 0
	for _, ok := zero.Get(); ok; _, ok = zero.Get() {
		kept++
	}
	if kept != runtime.GOMAXPROCS(0) {
		t.Errorf("the zero List kept %d values", kept)
	}
}

func TestCollectorDoesNotEmptyIt(t *testing.T) {
	l := freelist.List[*[1 << 20]byte]{Max: 1}
	want := new([1 << 20]byte)
	l.Put(want)
	for range 3 {
		runtime.GC()
	}
	if got, _ := l.Get(); got != want {
		t.Error("what was put is gone")
	}
}

func TestValuesHaveOneUser(t *testing.T) {
	l := freelist.List[*int]{Max: 4}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 1000 {
				v, ok := l.Get()
				if !ok {
					v = new(int)
				}
				*v++ // the race detector sees a second user
				l.Put(v)
			}
		})
	}
	group.Wait()
	for v, ok := l.Get(); ok; v, ok = l.Get() {
		if *v == 0 {
			t.Error("a value that nobody used was kept")
		}
	}
}
