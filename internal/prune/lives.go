package prune

import (
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/pack"
)

// Stream says where a segment is copied to. What is likely to be given up at about the same time is kept together, so that packs die as a whole
// and less has to be copied once more.
type Stream int

// The streams, by who needs a segment.
const (
	Leave   Stream = iota - 1 // nobody: the segment is not copied
	Current                   // the latest snapshot of a source: nobody knows for how long
	Long                      // older ones alone, for more than five weeks
	Short                     // older ones alone, for less

	streams = iota - 1
)

// shortLife is what daily and weekly snapshots live at most, with their time in the trash.
const shortLife = 36 * 24 * time.Hour

// stays is how long the segments of a stream are needed in proportion: what is dead beside segments that will be dead soon themselves is not
// worth a copy. Other numbers, and more streams, make little difference: docs/testing.md.
var stays = [streams]float64{Current: 8, Long: 8, Short: 1}

// StreamFor returns the stream of what no current snapshot needs, and an older one for some time.
func StreamFor(left time.Duration) Stream {
	if left < shortLife {
		return Short
	}
	return Long
}

// Lives tells how long segments are needed, by marks of what snapshots need whose lives are of about the same length.
type Lives struct {
	live *index.Marks
	by   [Short]*index.Marks // of each stream but Short, where the rest belongs; nil means nothing
}

// NewLives returns Lives of what live marks as needed, in which the segments of all streams are Short until By. live must stay open while
// Lives are used.
func NewLives(live *index.Marks) *Lives { return &Lives{live: live} }

// By tells what the snapshots of a stream, which is neither Leave nor Short, need that those of the streams before it do not. Lives own the marks.
func (l *Lives) By(s Stream, marks *index.Marks) { l.by[s] = marks }

// Close closes the marks that Lives own.
func (l *Lives) Close() {
	for _, m := range l.by {
		if m != nil {
			m.Close()
		}
	}
}

// Segments calls fn with the segments of a pack, in their order, and their streams.
func (l *Lives) Segments(id pack.ID, fn func(u index.SegmentUsage, s Stream)) {
	var by [Short][]index.SegmentUsage
	for s, m := range l.by {
		if m != nil {
			by[s] = m.Segments(id)
		}
	}
	for i, u := range l.live.Segments(id) {
		if !u.Needed() {
			fn(u, Leave)
			continue
		}
		to := Current
		for to < Short && (i >= len(by[to]) || !by[to][i].Needed()) {
			to++
		}
		fn(u, to)
	}
}

// Streams returns where the segments of a pack go, by their offsets.
func (l *Lives) Streams(id pack.ID) func(offset uint32) Stream {
	to := map[uint32]Stream{}
	l.Segments(id, func(u index.SegmentUsage, s Stream) { to[u.Offset] = s })
	return func(offset uint32) Stream {
		if s, ok := to[offset]; ok {
			return s
		}
		return Leave
	}
}

// Stays returns how long the live segments of a pack are needed in proportion, on average by their bytes: for Survey.Weigh.
func (l *Lives) Stays(id pack.ID) float64 {
	sum, live := 0.0, 0.0
	l.Segments(id, func(u index.SegmentUsage, s Stream) {
		if s != Leave {
			sum += float64(u.Length) * stays[s]
			live += float64(u.Length)
		}
	})
	if live == 0 {
		return 0
	}
	return sum / live
}
