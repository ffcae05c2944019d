package restore

import (
	"testing"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/pack"
)

// A range begins with the dictionary of its first segment if that is near, and no range is longer for what an index says of dictionaries.
func TestRangeBeginsWithTheDictionary(t *testing.T) {
	r := &run{Options: Options{limits: limits{gap: 100, readBytes: 1000}}}
	c := &collector{}
	c.number(pack.ID{1})
	at := func(offset uint64, with index.Range) piece {
		return piece{key: offset << ordinalBits, size: 200, with: with}
	}
	for _, test := range []struct {
		with          index.Range
		offset, bytes int64
	}{
		{index.Range{}, 5000, 200},
		{index.Range{Offset: 4900, Length: 100}, 4900, 300},
		{index.Range{Offset: 4500, Length: 400}, 4500, 700},
		{index.Range{Offset: 4500, Length: 399}, 5000, 200},              // too far in front
		{index.Range{Offset: 4000, Length: 1000}, 5000, 200},             // too long
		{index.Range{Offset: 4900, Length: 101}, 5000, 200},              // reaches into the segment
		{index.Range{Offset: 5200, Length: 100}, 5000, 200},              // behind
		{index.Range{Offset: 4900, Length: 1<<32 - 1}, 5000, 200},        // of a damaged table
		{index.Range{Offset: 0, Length: 5000}, 5000, 200},                // likewise
		{index.Range{Offset: 1<<32 - 100, Length: 1<<32 - 1}, 5000, 200}, // likewise
		{index.Range{Offset: 4800, Length: 100}, 4800, 400},              // with a gap
		{index.Range{Offset: 5000 - 800, Length: 750}, 4200, 1000},       // just so
		{index.Range{Offset: 5000 - 801, Length: 750}, 5000, 200},        // one byte more
	} {
		got := r.nextRange(c, []piece{at(5000, test.with)})
		if got.offset != test.offset || int64(got.length) != test.bytes || len(got.pieces) != 1 {
			t.Errorf("%+v: %d bytes from %d on, want %d from %d", test.with, got.length, got.offset, test.bytes, test.offset)
		}
		if l := got.location(&got.pieces[0]); l.Dictionary != test.with || l.Offset != 5000 {
			t.Errorf("%+v: %+v", test.with, l)
		}
	}
}
