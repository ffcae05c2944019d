package chunker

import (
	"fmt"
	"testing"
)

// goldenCuts are frozen: a change here means that repositories no longer find
// their chunks. The cuts are those of github.com/restic/chunker v0.4.0.
var goldenCuts = []struct {
	params Params
	kind   string
	size   int
	cuts   []int
}{
	{Files(0x3DA3358B4DC173), "random", 12 << 20, []int{
		1016575, 1222965, 874674, 1582069, 1131085, 575402, 858472, 1310917, 551259, 536221,
		2923273,
	}},
	{Files(0x2482734CACCA49), "random", 6 << 20, []int{
		1283281, 1162179, 1966660, 1452999, 426337,
	}},
	{Files(0x3DA3358B4DC173), "zeros", 2_000_000, []int{
		524288, 524288, 524288, 427136,
	}},
	{Database(0x3DA3358B4DC173), "random", 400_000, []int{
		37673, 47962, 40805, 44591, 42868, 77288, 42921, 65892,
	}},
	{Database(0x3DA3358B4DC173), "pages", 400_000, []int{
		34064, 35000, 35000, 35000, 35000, 35000, 35000, 35000, 34847, 35153,
		35000, 15936,
	}},
	{Params{Rabin, 0x3DA3358B4DC173, 4 << 10, 16 << 10, 13}, "random", 100_000, []int{
		16384, 16384, 4169, 16384, 16309, 16005, 9212, 5153,
	}},
	{Params{Rabin, 0x3DA3358B4DC173, 4 << 10, 16 << 10, 13}, "pages", 100_000, []int{
		4096, 4968, 5000, 5000, 5000, 5000, 5000, 5000, 5000, 5000,
		5000, 5000, 5000, 5000, 5000, 5000, 5000, 5000, 5000, 5000,
		936,
	}},
	{Params{Rabin, 0x3DA3358B4DC173, 4 << 10, 16 << 10, 13}, "ones", 100_000, []int{
		16384, 16384, 16384, 16384, 16384, 16384, 1696,
	}},
	{Params{Rabin, 0x3DA3358B4DC173, 4 << 10, 5000, 10}, "random", 30_000, []int{
		4136, 5000, 4261, 4857, 5000, 4439, 2307,
	}},
}

// goldenData makes the input. It is spelled out so that others can repeat it:
// random bytes are the highest of x, which starts at 1 and becomes
// x·6364136223846793005 + 1442695040888963407 modulo 2^64 before each byte. Of
// pages, the last 1,000 bytes of each 5,000 are zero instead.
func goldenData(kind string, size int) []byte {
	data := make([]byte, size)
	x := uint64(1)
	for i := range data {
		x = x*6364136223846793005 + 1442695040888963407
		switch {
		case kind == "ones":
			data[i] = 1
		case kind == "random", kind == "pages" && i%5000 < 4000:
			data[i] = byte(x >> 56)
		}
	}
	return data
}

func TestGoldenCuts(t *testing.T) {
	t.Parallel()
	for _, test := range goldenCuts {
		p := test.params
		name := fmt.Sprintf("%d-%d-%d %s", p.MinSize, p.MaxSize, p.AverageBits, test.kind)
		sameCutsOfBoth(t, name, p, goldenData(test.kind, test.size), test.cuts)
	}
}
