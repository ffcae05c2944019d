package tree

import (
	"time"

	"github.com/snapkeep/snap/pack"
)

// Kind is the kind of a file. Its numbers are on disk.
type Kind uint8

// The kinds of files.
const (
	Regular     Kind = 1
	Directory   Kind = 2
	Symlink     Kind = 3
	Fifo        Kind = 4
	Socket      Kind = 5
	CharDevice  Kind = 6
	BlockDevice Kind = 7
)

// Time is a point in time in seconds and nanoseconds since 1970, which also holds
// times before 1970 and after 2262.
type Time struct {
	Sec  int64
	Nsec uint32 // 0 to 999,999,999
}

// Std returns t as the standard library's time, in UTC.
func (t Time) Std() time.Time { return time.Unix(t.Sec, int64(t.Nsec)).UTC() }

// TimeOf returns t as a Time.
func TimeOf(t time.Time) Time { return Time{t.Unix(), uint32(t.Nanosecond())} }

// Compare returns -1, 0 or 1 as t is before, at or after u.
func (t Time) Compare(u Time) int {
	switch {
	case t.Sec < u.Sec || (t.Sec == u.Sec && t.Nsec < u.Nsec):
		return -1
	case t == u:
		return 0
	}
	return 1
}

// Stat is what a look at a file without opening it tells. Its fields are the ones
// that the stat digest covers.
type Stat struct {
	Name       string // raw bytes of the name in its directory
	Kind       Kind
	Mode       uint16 // permission, set-id and sticky bits: at most 07777
	UID, GID   uint32
	Links      uint32 // number of hard links
	Inode      uint64
	Size       int64 // bytes; meaningful for regular files only
	ModTime    Time
	ChangeTime Time
	Rdev       uint64 // device number of a device node
	Device     uint64 // file system that the file lies on
}

// Marks say what was wrong with a file when it was backed up.
type Marks uint8

// The marks; their bits are on disk.
const (
	MarkChanged    Marks = 1 // changed while it was read
	MarkUnreadable Marks = 2 // could not be read; Entry.Problem says why
	MarkUnproven   Marks = 4 // changed too close to the look to be told from a later change
)

// Xattr is one extended attribute. Name and value are raw bytes.
type Xattr struct {
	Name, Value string
}

// Part is a piece of a regular file's content: a chunk, or a hole if ID is zero.
type Part struct {
	ID     pack.ChunkID
	Length int64
}

// Entry is everything that is kept of one file.
type Entry struct {
	Stat
	User, Group string // names of the owner, empty if unknown
	Target      string // of a symbolic link, raw bytes
	Xattrs      []Xattr
	Flags       uint32 // inode flags as in FS_IOC_GETFLAGS
	Access      *Time  // access time, nil if it was not asked for
	Marks       Marks
	Problem     string
	Parts       []Part // content of a regular file
	Listed      bool   // Parts name list pages, which hold the parts (format section 8.3)
}
