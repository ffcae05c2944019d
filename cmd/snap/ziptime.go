package main

import (
	"archive/zip"
	"encoding/binary"
	"math"
	"time"

	"github.com/snapkeep/snap/internal/tree"
)

// Times that a zip archive can hold, each in a place of its own. Which of them programs look at differs.
//
//	DOS date         1980 to 2107, two seconds   everywhere, by the local clock
//	field 0x5455     1970 to 2038, a second      Info-ZIP, and most others
//	field 0x000a     1601 to 30828, 100 ns       7-Zip, Windows, libarchive
//
// Info-ZIP is a day off from 2100 on. Of negative numbers in 0x5455, which would be times from 1901, it makes 1980, and others something behind 2038.
const (
	unixTimeField = 0x5455
	ntfsTimeField = 0x000a

	ntfsEpoch = -11_644_473_600 // 1601, in seconds of Unix
	ntfsTicks = 10_000_000      // in a second
)

// The first and the last DOS date.
const (
	firstDOSDate, firstDOSTime = 1<<5 | 1, 0
	lastDOSDate, lastDOSTime   = 127<<9 | 12<<5 | 31, 23<<11 | 59<<5 | 29
)

// farDate is the year from which dates are not understood everywhere.
const farDate = 2100

// setZipTime gives h a time wherever it can stand, and nowhere another: but a DOS date has to be there, and is the nearest one. It reports whether
// all programs can see the time, and whether any can.
func setZipTime(h *zip.FileHeader, t tree.Time, zone *time.Location) (everywhere, somewhere bool) {
	var dates bool
	//lint:ignore SA1019 what is to be used instead makes some date of one that DOS does not have
	h.ModifiedDate, h.ModifiedTime, dates = dosTime(t, zone)
	if 0 <= t.Sec && t.Sec <= math.MaxInt32 {
		field := binary.LittleEndian.AppendUint16(nil, unixTimeField)
		field = append(binary.LittleEndian.AppendUint16(field, 5), 1) // with the time of modification alone
		h.Extra = append(h.Extra, binary.LittleEndian.AppendUint32(field, uint32(int32(t.Sec)))...)
		return true, true
	}
	// The largest is that of signed numbers, which some programs take it for.
	if t.Sec < ntfsEpoch || t.Sec >= math.MaxInt64/ntfsTicks+ntfsEpoch {
		return false, dates
	}
	ticks := uint64(t.Sec-ntfsEpoch)*ntfsTicks + uint64(t.Nsec)/100
	field := binary.LittleEndian.AppendUint16(nil, ntfsTimeField)
	field = binary.LittleEndian.AppendUint16(field, 32)
	field = binary.LittleEndian.AppendUint32(field, 0)
	field = binary.LittleEndian.AppendUint16(field, 1)
	field = binary.LittleEndian.AppendUint16(field, 24)
	for range 3 { // modification, access, creation
		field = binary.LittleEndian.AppendUint64(field, ticks)
	}
	h.Extra = append(h.Extra, field...)
	return dates, true
}

// dosTime returns the DOS date that is nearest to t, and whether it is that of t for all who read it.
func dosTime(t tree.Time, zone *time.Location) (date, clock uint16, exact bool) {
	year := time.Unix(min(max(t.Sec, -1<<40), 1<<40), 0).In(zone).Year()
	switch {
	case year < 1980:
		return firstDOSDate, firstDOSTime, false
	case year > 2107:
		return lastDOSDate, lastDOSTime, false
	}
	at := time.Unix(t.Sec, 0).In(zone)
	date = uint16((at.Year()-1980)<<9 | int(at.Month())<<5 | at.Day())
	return date, uint16(at.Hour()<<11 | at.Minute()<<5 | at.Second()/2), year < farDate
}
