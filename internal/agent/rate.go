package agent

import (
	"context"
	"io"
	"time"
)

// minRate in bytes a second is the lowest rate limit: with less, an answer takes so long that a server gives up.
const minRate = 64 << 10

// pacer writes no faster than a rate. It belongs to one goroutine at a time.
type pacer struct {
	ctx  context.Context
	out  io.Writer
	rate float64   // bytes a second
	step int       // bytes that are written at once: a twentieth of a second's
	next time.Time // when the next bytes may go
}

// paced returns a writer to out that writes at most rate bytes a second, or out itself if rate is 0. It writes a frame in
// steps, so that a server that waits for a large one sees that it gets on.
func paced(ctx context.Context, out io.Writer, rate int64) io.Writer {
	if rate <= 0 {
		return out
	}
	return &pacer{ctx: ctx, out: out, rate: float64(rate), step: max(int(rate/20), 1)}
}

// Write writes p in steps. Its error is that of the context or of the writer.
func (p *pacer) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		if err = p.wait(); err != nil {
			break
		}
		var k int
		k, err = p.out.Write(b[n:min(n+p.step, len(b))])
		n += k
		p.next = p.next.Add(time.Duration(float64(k) / p.rate * float64(time.Second)))
	}
	return n, err
}

// wait waits until the next bytes may go. What was not used before is not made up for.
func (p *pacer) wait() error {
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
		return nil
	}
	timer := time.NewTimer(p.next.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}
