package restore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/filter"
	"github.com/snapkeep/snap/internal/target"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// Index tells where chunks are.
type Index interface {
	Lookup(id pack.ChunkID) (index.Location, bool)
	Locations(id pack.ChunkID) []index.Location
}

// Overwrite says what becomes of files that are in the target already.
type Overwrite int

// The ways to treat files that exist.
const (
	// OverwriteIfChanged writes those anew that differ in size or modification time, and sets the
	// metadata of the others.
	OverwriteIfChanged Overwrite = iota
	// OverwriteAlways writes all anew.
	OverwriteAlways
	// OverwriteIfNewer writes those anew that are older than in the snapshot, and leaves the
	// others as they are.
	OverwriteIfNewer
	// OverwriteNever leaves everything that exists as it is.
	OverwriteNever
)

var overwriteNames = map[Overwrite]string{OverwriteAlways: "always", OverwriteIfChanged: "if-changed", OverwriteIfNewer: "if-newer", OverwriteNever: "never"}

// String returns the name of o on the command line.
func (o Overwrite) String() string { return overwriteNames[o] }

// ParseOverwrite parses what String returns.
func ParseOverwrite(s string) (Overwrite, error) {
	for o, name := range overwriteNames {
		if name == s {
			return o, nil
		}
	}
	return 0, fmt.Errorf("overwrite %q: want always, if-changed, if-newer or never", s)
}

// Action says what became of a file.
type Action string

// The actions.
const (
	Restored  Action = "restored"  // it was not there
	Updated   Action = "updated"   // another file was replaced
	Unchanged Action = "unchanged" // it was there, or was left as it is
	Deleted   Action = "deleted"   // the snapshot does not have it
)

// Item tells of one file.
type Item struct {
	Path   string // in the target, raw bytes
	Action Action
	Kind   tree.Kind // 0 if the file was deleted
	Size   int64     // of a regular file, in bytes
}

// AttributeError is a problem that says which attribute of a file could not be set.
type AttributeError = target.AttributeError

// ErrHeld says that flags of what is in the target keep it from being changed, and that the snapshot has no such flags.
var ErrHeld = target.ErrHeld

// Progress counts what a running restore has done.
type Progress struct {
	TotalFiles, TotalBytes atomic.Int64 // 0 if nobody knows before the end
	Files, Bytes           atomic.Int64 // regular files that are complete, bytes that are written
	Skipped, SkippedBytes  atomic.Int64 // regular files that were left as they were
	Dirs, Other            atomic.Int64 // folders; links and special files
	Deleted                atomic.Int64
	Leftovers              atomic.Int64 // files that killed restores had not completed, and that were removed
	Failed                 atomic.Int64 // files and folders that are missing or incomplete
	Attributes             atomic.Int64 // attributes that could not be set
	Verified               atomic.Int64 // bytes that were read again
}

// Result tells what a restore did.
type Result struct {
	Files        int64 // regular files that were written, also as a hard link
	Bytes        int64 // that were written
	Dirs         int64 // folders that were made, or given their metadata
	Other        int64 // links, devices and the like that were made
	Skipped      int64 // files that were left as they were
	SkippedBytes int64
	Deleted      int64 // entries that the snapshot does not have, a folder with all in it as one
	Leftovers    int64 // files that killed restores had not completed, and that were removed
	Failed       int64 // files and folders that are missing, incomplete or wrong
	Attributes   int64 // attributes that could not be set
	Verified     int64 // bytes that were read again and compared
}

func (p *Progress) result() *Result {
	return &Result{Files: p.Files.Load(), Bytes: p.Bytes.Load(), Dirs: p.Dirs.Load(), Other: p.Other.Load(),
		Skipped: p.Skipped.Load(), SkippedBytes: p.SkippedBytes.Load(), Deleted: p.Deleted.Load(), Leftovers: p.Leftovers.Load(),
		Failed: p.Failed.Load(), Attributes: p.Attributes.Load(), Verified: p.Verified.Load()}
}

// Options say what to restore from where to where.
type Options struct {
	Load   tree.LoadPage
	Store  chunks.Store
	Index  Index
	Opener *chunks.Loader // opens segments
	Root   pack.ChunkID   // of the tree

	// Target is the folder to write to. It is made if it does not exist.
	Target string
	// Path is the folder of the tree whose contents go into the target, or a single file.
	Path string
	// Include restores only what one of the lists matches, and Exclude leaves out what one of
	// them does. Paths begin at the target.
	Include, Exclude []*filter.List

	Overwrite Overwrite
	// Delete removes from folders that exist what the snapshot does not have there, as
	// far as Include and Exclude let it be restored, and only in the folders of the tree that
	// DeleteBelow names, and below them.
	Delete      bool
	DeleteBelow []string
	DryRun      bool // writes nothing and tells what would be done
	Verify      bool // reads all files again and compares them with the snapshot
	NoSparse    bool // writes holes as zeros
	NoOwner     bool // leaves files to whoever runs the restore
	NoXattrs    bool // sets no extended attributes
	Sync        bool // waits until the file system has stored what was restored

	// Renew, if not nil, brings the Index up to date if a segment could not be read with such an error because its pack is gone, and reports
	// whether to look there again. It is called from several goroutines.
	Renew func(ctx context.Context, err error) bool

	// Far says that each read of the Store takes long: fewer and larger ones are made, of up to 18 MiB for each worker.
	Far bool

	Workers  int       // 0 means the number of processors, at least 2
	Progress *Progress // counted up, if not nil
	// Item is told of each file and folder when it is complete, and Problem of what failed. They are
	// called from several goroutines, one call at a time, and must not block.
	Item    func(Item)
	Problem func(path string, err error)

	limits limits // zero values mean the constants of the same names
}

// limits bound what is collected before it is written.
type limits struct {
	pieces     int // chunks; as many again wait for the workers
	largeFiles int // files of several chunks, all of which may be open at once
	readBytes  int // of a range
	gap        int // bytes between two segments that are read rather than skipped
}

// Defaults of limits. A small file that is held takes about 500 bytes.
const (
	maxPieces     = 16 << 10
	maxLargeFiles = 128
	maxReadBytes  = 2 << 20
	maxGap        = 256 << 10
	// Of stores that are far away.
	farReadBytes = 18 << 20 // a pack of the default size in two reads
	farGap       = 2 << 20
)

func (o Options) withDefaults() Options {
	def := func(p *int, value int) {
		if *p <= 0 {
			*p = value
		}
	}
	def(&o.Workers, max(2, runtime.GOMAXPROCS(0)))
	def(&o.limits.pieces, maxPieces)
	def(&o.limits.largeFiles, maxLargeFiles)
	if o.Far {
		def(&o.limits.readBytes, farReadBytes)
		def(&o.limits.gap, farGap)
	}
	def(&o.limits.readBytes, maxReadBytes)
	def(&o.limits.gap, maxGap)
	if o.Progress == nil {
		o.Progress = new(Progress)
	}
	return o
}

// Errors of this package.
var (
	// ErrUnreadable says that a file could not be read when it was backed up.
	ErrUnreadable = errors.New("it could not be read when it was backed up")
	// ErrDiffers says that a file that was read again is not what the snapshot holds.
	ErrDiffers = errors.New("differs from the snapshot")
	// ErrNoFolder says that a folder could not be made, so that what lies in it is missing.
	ErrNoFolder = errors.New("its folder could not be made")
	// ErrInTheWay says that something in the target is not replaced.
	ErrInTheWay = errors.New("something else is in the way")
)
