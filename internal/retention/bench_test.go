package retention

import (
	"testing"
	"time"
)

// BenchmarkApply decides about 10,000 hourly snapshots of one source.
func BenchmarkApply(b *testing.B) {
	all := make([]Snapshot, 10_000)
	start := time.Date(2025, 1, 1, 0, 30, 0, 0, time.UTC)
	for i := range all {
		all[i] = Snapshot{ID: numbered(i), Source: "s", Time: start.Add(time.Duration(i) * time.Hour), Sequence: uint64(i + 1)}
	}
	for _, estimate := range []bool{false, true} {
		name := map[bool]string{false: "plain", true: "estimate"}[estimate]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Apply(DefaultPolicy(), all[len(all)-1].Time, all, Options{Estimate: estimate}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
