// Package guard looks at a snapshot that is about to be kept and says whether its source looks wrong: empty, shrunk,
// unmounted, replaced by another machine, or in the hands of somebody who encrypts it. It is pure.
//
// A snapshot that trips a guard is kept all the same, marked suspicious with the figures that tripped it. It takes no
// place in the retention, and while it is the newest of its source nothing of that source is forgotten.
package guard

import (
	"fmt"
	"slices"
	"strings"
)

// Look is what guards compare: one snapshot in figures.
type Look struct {
	Files, Bytes    int64 // all regular files, and their sizes
	Unreadable      int64 // entries of which the content is missing, though they count
	New, Changed    int64 // files
	Added, Packed   int64 // bytes of new file data, and what is stored of them; of the time before: of all snapshots
	Machine         string
	Mounts          map[string]string // of each path: what is mounted where it lies, empty if nothing that keeps files; nil if not known
	CanariesTouched []string          // paths that changed or are gone
}

// Limits say what is too much. Shares are from 0 to 1; 1 switches a guard off.
type Limits struct {
	Shrink     float64 // of files or bytes gone
	Changed    float64 // of files changed at once that do not compress
	Renamed    float64 // of files gone, with as many new
	AllowEmpty bool
	NewHost    bool // another machine may answer
}

// Class says which kind of guard tripped.
type Class int

// The classes, the worse the higher.
const (
	None    Class = iota
	Missing       // root missing or empty, shrunk, other mount, other machine
	Anomaly       // changes as of an attacker
)

// small sources change by large shares all the time.
const (
	fewFiles   = 20
	fewChanged = 50
	littleData = 64 << 10 // bytes; of less it is not told whether it compresses
	stubborn   = 0.95     // packed to so much of its size, data does not compress
	soft       = 0.85     // data that does
)

// Finding is a guard that tripped.
type Finding struct {
	Class Class
	Why   string
}

// Check compares a snapshot with the last good one of its source, nil if there is none.
func Check(now, before *Look, l Limits) (found []Finding) {
	add := func(c Class, format string, args ...any) {
		found = append(found, Finding{c, fmt.Sprintf(format, args...)})
	}
	if now.Files == 0 && !l.AllowEmpty {
		add(Missing, "no file was found")
	}
	if len(now.CanariesTouched) > 0 {
		add(Anomaly, "files that nobody changes were touched: %s", strings.Join(now.CanariesTouched, ", "))
	}
	if before == nil {
		return found
	}
	checkSize(now, before, l, add)
	if more := now.Unreadable - before.Unreadable; share(more, now.Files) > l.Shrink && before.Files >= fewFiles {
		add(Missing, "%d of %d files cannot be read, before %d", now.Unreadable, now.Files, before.Unreadable)
	}
	if before.Machine != "" && now.Machine != before.Machine && !l.NewHost {
		add(Missing, "another machine answers: machine id %q, before %q", now.Machine, before.Machine)
	}
	for _, path := range sortedKeys(before.Mounts) {
		was := before.Mounts[path]
		if is, asked := now.Mounts[path]; asked && was != "" && is != was {
			add(Missing, "%s lies on %s, before on %s: is a file system not mounted?", path, or(is, "nothing that keeps files"), was)
		}
	}
	checkChanges(now, before, l, add)
	return found
}

func checkSize(now, before *Look, l Limits, add func(Class, string, ...any)) {
	if down(now.Files, before.Files) > l.Shrink && before.Files >= fewFiles {
		add(Missing, "%d files, before %d", now.Files, before.Files)
	}
	if down(now.Bytes, before.Bytes) > l.Shrink && before.Files >= fewFiles {
		add(Missing, "%d bytes, before %d", now.Bytes, before.Bytes)
	}
}

func checkChanges(now, before *Look, l Limits, add func(Class, string, ...any)) {
	gone := before.Files + now.New - now.Files
	if before.Files < fewFiles || now.Changed+now.New < fewChanged {
		return
	}
	if touched, is := touchedShare(now, before, gone), ratio(now); l.Changed < 1 && touched > l.Changed && is >= stubborn {
		add(Anomaly, "%.0f %% of the files changed at once, and the new data does not compress (%.0f %% of its size)", 100*touched, 100*is)
	}
	if l.Renamed < 1 && gone > 0 && share(gone, before.Files) > l.Renamed && share(now.New, before.Files) > l.Renamed {
		add(Anomaly, "%d of %d files are gone and %d are new: were all of them renamed?", gone, before.Files, now.New)
	}
}

// touchedShare is the share of the files that changed in place or gave way to new ones. A source whose data never did
// compress gets new files of that kind all the time: of it only those count that changed in place.
func touchedShare(now, before *Look, gone int64) float64 {
	n := now.Changed
	if was := ratio(before); was <= soft {
		n += min(now.New, max(gone, 0))
	}
	return share(n, before.Files)
}

// Worst returns the highest class and all reasons in one text.
func Worst(found []Finding) (c Class, why string) {
	var texts []string
	for _, f := range found {
		c = max(c, f.Class)
		texts = append(texts, f.Why)
	}
	return c, strings.Join(texts, "; ")
}

// down is the share by which a number went down.
func down(now, before int64) float64 {
	if before <= 0 || now >= before {
		return 0
	}
	return share(before-now, before)
}

func share(part, whole int64) float64 {
	if whole <= 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// ratio is what is stored of new data, 0 if there was too little to tell.
func ratio(l *Look) float64 {
	if l.Added < littleData {
		return 0
	}
	return share(l.Packed, l.Added)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
