// Package freelist keeps values for reuse. Unlike a sync.Pool it has a bound, and the collector does not empty it: large
// buffers that are made again after every second collection cause the next one.
package freelist

import (
	"runtime"
	"sync"
)

// List keeps up to Max values that are not in use, and gives the one used last first. It is safe for concurrent use.
type List[T any] struct {
	Max int // 0 means as many as goroutines run at a time

	mu   sync.Mutex // guards free
	free []T
}

// Get returns a value that was put, or false if there is none.
func (l *List[T]) Get() (v T, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.free)
	if n == 0 {
		return v, false
	}
	v = l.free[n-1]
	clear(l.free[n-1:])
	l.free = l.free[:n-1]
	return v, true
}

// Put gives a value back. It is dropped if as many as Max are kept.
func (l *List[T]) Put(v T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := l.Max
	if limit == 0 {
		limit = runtime.GOMAXPROCS(0)
	}
	if len(l.free) < limit {
		l.free = append(l.free, v)
	}
}
