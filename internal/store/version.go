package store

import "time"

// Version is one of the versions of a file that a store keeps which forgets nothing that is removed or overwritten.
type Version struct {
	ID      string
	Size    int64     // bytes; 0 for a marker
	Time    time.Time // when it was stored, by the clock of the storage
	Removed bool      // it is a marker that says that the file was removed
	Latest  bool      // it is what the store shows
}
