package index

import (
	"math"
	"time"
)

// Day is a day since 1970 in UTC; 0 stands for one that is not known. A number of 16 bits has room in a row of a pack.
type Day uint16

// DayOf returns the day of a time, 0 for the zero time and for days that have no number.
func DayOf(t time.Time) Day {
	if n := t.Unix() / (24 * 60 * 60); n > 0 && n <= math.MaxUint16 {
		return Day(n)
	}
	return 0
}

// earlier returns the earlier of two days, of which one or both may not be known.
func earlier(a, b Day) Day {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}
