package retention

import (
	"fmt"
	"time"
)

// unit is a length of period, fine to coarse.
type unit int

const (
	hour unit = iota
	day
	week
	month
	quarter
	year
	unitCount
)

// period names one hour, day, … year of a zone by its number on the local
// calendar, so that periods of one unit are ordered. The two hours of the same
// name in the night when clocks go back differ in their offset from UTC, which
// is 0 for all other units.
type period struct {
	number int64
	offset int
}

const daySeconds = 24 * 60 * 60

// periodsOf returns the periods in which t lies.
func periodsOf(t time.Time, zone *time.Location) [unitCount]period {
	_, offset := t.In(zone).Zone()
	local := t.Unix() + int64(offset)
	date := floorDiv(local, daySeconds)
	var all [unitCount]period
	all[hour] = period{floorDiv(local, 60*60), offset}
	for u := day; u < unitCount; u++ {
		all[u].number = numberOf(u, date)
	}
	return all
}

// numberOf returns the number of the period of unit u, not hour, that holds the
// date, given in days since 1 January 1970. Weeks begin on Monday.
func numberOf(u unit, date int64) int64 {
	switch u {
	case day:
		return date
	case week:
		return floorDiv(date+3, 7)
	}
	y, m, _ := time.Unix(date*daySeconds, 0).UTC().Date()
	switch u {
	case month:
		return int64(y)*12 + int64(m) - 1
	case quarter:
		return int64(y)*4 + int64(m-1)/3
	}
	return int64(y)
}

// firstDay returns the date, in days since 1 January 1970, on which the period
// begins.
func firstDay(u unit, p period) int64 {
	var y, m int64
	switch u {
	case hour:
		return floorDiv(p.number, 24)
	case day:
		return p.number
	case week:
		return p.number*7 - 3
	case month:
		y, m = floorDiv(p.number, 12), p.number
	case quarter:
		y, m = floorDiv(p.number, 4), 3*p.number
	default:
		y = p.number
	}
	m -= floorDiv(m, 12) * 12
	return floorDiv(time.Date(int(y), time.Month(m+1), 1, 0, 0, 0, 0, time.UTC).Unix(), daySeconds)
}

// nameOf writes a period as 2026-07-04T15+02:00, 2026-07-04, 2026-W27, 2026-07,
// 2026-Q3 or 2026.
func nameOf(u unit, p period) string {
	first := time.Unix(firstDay(u, p)*daySeconds, 0).UTC()
	switch u {
	case hour:
		zone := time.FixedZone("", p.offset)
		return time.Unix(p.number*60*60-int64(p.offset), 0).In(zone).Format("2006-01-02T15Z07:00")
	case day:
		return first.Format(time.DateOnly)
	case week:
		y, w := first.ISOWeek()
		return fmt.Sprintf("%04d-W%02d", y, w)
	case month:
		return first.Format("2006-01")
	case quarter:
		return fmt.Sprintf("%04d-Q%d", first.Year(), (first.Month()+2)/3)
	}
	return fmt.Sprintf("%04d", first.Year())
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
