package agent

import (
	"context"
	"sync"
	"time"
)

// limiter bounds how many bytes are sent in a second. A nil limiter bounds nothing.
type limiter struct {
	rate float64 // bytes a second

	mu   sync.Mutex // guards next
	next time.Time  // when the next bytes may go
}

func newLimiter(rate int64) *limiter {
	if rate <= 0 {
		return nil
	}
	return &limiter{rate: float64(rate)}
}

// wait waits until n more bytes may be sent.
func (l *limiter) wait(ctx context.Context, n int) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	now := time.Now()
	start := l.next
	if start.Before(now) {
		start = now
	}
	l.next = start.Add(time.Duration(float64(n) / l.rate * float64(time.Second)))
	l.mu.Unlock()
	if !start.After(now) {
		return nil
	}
	timer := time.NewTimer(start.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
