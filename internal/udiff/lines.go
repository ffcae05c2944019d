package udiff

import "strings"

// Edit says that the lines a.Low to a.High of the first text are replaced by b.Low to b.High
// of the second; either may be empty.
type Edit struct {
	A, B Span
}

// Span is a range of lines, counted from 0, without the one at High.
type Span struct {
	Low, High int
}

// maxCost bounds the differences that are searched for between two equal stretches.
const maxCost = 4096

// Lines cuts text behind its line breaks.
func Lines(text string) []string {
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// Compare returns the edits that make b of a, in order, none next to another.
func Compare(a, b []string) []Edit {
	c := comparison{}
	c.number(a, b)
	c.compare(Span{0, len(a)}, Span{0, len(b)})
	return c.edits
}

// comparison is the state of Compare.
type comparison struct {
	a, b              []int // lines as numbers: equal lines have equal ones
	forward, backward []int
	edits             []Edit
}

func (c *comparison) number(a, b []string) {
	numbers := map[string]int{}
	of := func(lines []string) []int {
		out := make([]int, len(lines))
		for i, l := range lines {
			n, ok := numbers[l]
			if !ok {
				n = len(numbers)
				numbers[l] = n
			}
			out[i] = n
		}
		return out
	}
	c.a, c.b = of(a), of(b)
}

// compare appends the edits between two spans.
func (c *comparison) compare(a, b Span) {
	for a.Low < a.High && b.Low < b.High && c.a[a.Low] == c.b[b.Low] {
		a.Low++
		b.Low++
	}
	for a.Low < a.High && b.Low < b.High && c.a[a.High-1] == c.b[b.High-1] {
		a.High--
		b.High--
	}
	if a.Low == a.High || b.Low == b.High {
		c.add(a, b)
		return
	}
	x, y, ok := c.middle(a, b)
	if !ok {
		c.add(a, b)
		return
	}
	c.compare(Span{a.Low, x}, Span{b.Low, y})
	c.compare(Span{x, a.High}, Span{y, b.High})
}

// add appends an edit, or widens the last one if it ends where this begins.
func (c *comparison) add(a, b Span) {
	if a.Low == a.High && b.Low == b.High {
		return
	}
	if n := len(c.edits); n > 0 && c.edits[n-1].A.High == a.Low && c.edits[n-1].B.High == b.Low {
		c.edits[n-1].A.High, c.edits[n-1].B.High = a.High, b.High
		return
	}
	c.edits = append(c.edits, Edit{a, b})
}

// middle returns a point on a shortest path of edits from one corner of the spans to the
// other, neither of them, and false if the path would be too long. Diagonal k holds the points with
// x-y = k; forward[k] is how far x comes on it from the low corner, backward[k]
// from the high one.
func (c *comparison) middle(a, b Span) (x, y int, ok bool) {
	n, m := a.High-a.Low, b.High-b.Low
	delta, offset := n-m, n+m+1
	if size := 2*offset + 1; len(c.forward) < size {
		c.forward, c.backward = make([]int, size), make([]int, size)
	}
	fwd, bwd := c.forward, c.backward
	fwd[offset+1], bwd[offset+1] = 0, 0
	for d := 0; d <= min((n+m+1)/2, maxCost); d++ {
		for k := -d; k <= d; k += 2 {
			x := step(fwd, offset, k, d)
			x = c.slide(a, b, x, k)
			fwd[offset+k] = x
			if r := delta - k; delta&1 != 0 && -d < r && r < d && x+bwd[offset+r] >= n {
				return a.Low + x, b.Low + x - k, inside(x, x-k, n, m)
			}
		}
		for k := -d; k <= d; k += 2 {
			x := step(bwd, offset, k, d)
			x = c.slideBack(a, b, x, k)
			bwd[offset+k] = x
			if r := delta - k; delta&1 == 0 && -d <= r && r <= d && x+fwd[offset+r] >= n {
				return a.High - x, b.High - (x - k), inside(n-x, m-(x-k), n, m)
			}
		}
	}
	return 0, 0, false
}

// step returns where diagonal k is entered with d edits.
func step(v []int, offset, k, d int) int {
	if k == -d || (k != d && v[offset+k-1] < v[offset+k+1]) {
		return v[offset+k+1]
	}
	return v[offset+k-1] + 1
}

// slide follows equal lines from x on diagonal k.
func (c *comparison) slide(a, b Span, x, k int) int {
	for y := x - k; x < a.High-a.Low && y < b.High-b.Low && y >= 0 && c.a[a.Low+x] == c.b[b.Low+y]; {
		x++
		y++
	}
	return x
}

// slideBack does the same from the end, where x and k count back from.
func (c *comparison) slideBack(a, b Span, x, k int) int {
	for y := x - k; x < a.High-a.Low && y < b.High-b.Low && y >= 0 && c.a[a.High-1-x] == c.b[b.High-1-y]; {
		x++
		y++
	}
	return x
}

// inside reports whether a point lies in the spans and is none of the two corners.
func inside(x, y, n, m int) bool {
	return x >= 0 && y >= 0 && x <= n && y <= m && x+y > 0 && x+y < n+m
}
