package ratelimit

import (
	"context"
	"sync"
	"time"
)

const (
	// burstTime is for how long the bucket fills.
	burstTime = 250 * time.Millisecond
	// minPartBytes is the least part for which data is held up, whatever the
	// rate: the calls for smaller ones would cost more than they smooth.
	minPartBytes = 4 << 10
	// maxPartBytes is the largest one, so that data flows evenly.
	maxPartBytes = 256 << 10
)

// Limiter bounds a flow of bytes. A nil Limiter bounds nothing. It is safe for
// concurrent use.
type Limiter struct {
	bytesPerSecond float64
	burstBytes     float64
	partBytes      int

	mu    sync.Mutex
	level float64   // bytes that may pass, negative if promised ahead; guarded by mu
	since time.Time // when level was right; guarded by mu
}

// New returns a Limiter for a number of KiB (1024 bytes) a second, with a full
// bucket. It returns nil, which bounds nothing, for 0 and less.
func New(kibPerSecond int) *Limiter {
	if kibPerSecond <= 0 {
		return nil
	}
	rate := float64(kibPerSecond) * 1024
	burst := rate * burstTime.Seconds()
	return &Limiter{
		bytesPerSecond: rate,
		burstBytes:     burst,
		partBytes:      int(min(max(burst, minPartBytes), maxPartBytes)),
		level:          burst,
		since:          time.Now(),
	}
}

// Wait returns when n bytes may pass, or with the error of ctx once that is
// done; then the bytes do not count.
func (l *Limiter) Wait(ctx context.Context, n int) error {
	if l == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	delay := l.take(n)
	if delay <= 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		l.giveBack(n)
		return context.Cause(ctx)
	}
}

// take promises n bytes and returns the time until they may pass. Whoever comes
// next waits until after that.
func (l *Limiter) take(n int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.level = min(l.level+now.Sub(l.since).Seconds()*l.bytesPerSecond, l.burstBytes)
	l.since = now
	l.level -= float64(n)
	return time.Duration(-l.level / l.bytesPerSecond * float64(time.Second))
}

// giveBack returns bytes that did not pass.
func (l *Limiter) giveBack(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.level += float64(n)
}

// part returns how many of n bytes should pass at once.
func (l *Limiter) part(n int) int {
	if l == nil {
		return n
	}
	return min(n, l.partBytes)
}
