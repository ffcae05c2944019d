package repo

import (
	"io"
	"io/fs"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/source/iofs"
	"github.com/snapkeep/snap/internal/source/stream"
	"github.com/snapkeep/snap/internal/tree"
)

// Stream is a named stream of data that becomes a file at the top of a snapshot.
type Stream = stream.Stream

// Command is a program whose output is saved.
type Command = stream.Command

// Names that an outside Source needs.
type (
	// SourceProblem is an entry of a Dir that could not be looked at.
	SourceProblem = source.Problem
	// Kind is the kind of a file.
	Kind = tree.Kind
)

// The kinds of files.
const (
	Regular     = tree.Regular
	Directory   = tree.Directory
	Symlink     = tree.Symlink
	Fifo        = tree.Fifo
	Socket      = tree.Socket
	CharDevice  = tree.CharDevice
	BlockDevice = tree.BlockDevice
)

// Errors that an outside Source returns.
var (
	// ErrReplaced says that an entry is no longer the file that was listed.
	ErrReplaced = source.ErrReplaced
	// ErrConflict says that several merged sources have the same name. The folder that it is in is incomplete then, and the error is that of a
	// Problem.
	ErrConflict = source.ErrConflict
	// ErrBroken says that a source cannot be read any further. It ends the backup, and no snapshot is made; with other errors a file or folder is
	// left out.
	ErrBroken = source.ErrBroken
)

// FromFS returns a source that reads all of a file system, as fs.ReadDir lists it. A file is read as far as its Size says, one of a
// negative Size to its end. It belongs to whoever runs the backup, and counts as changed when its size or time differs; one without a time is read
// by every backup. Symbolic links need an fs.ReadLinkFS.
func FromFS(fsys fs.FS) Source { return iofs.New(fsys) }

// FromReader returns a stream of what r gives, under a file name. It can be read once. A backup that is cancelled waits for a Read of r
// that is under way: whoever may have to end one that blocks closes what r reads from.
func FromReader(name string, r io.Reader) Stream { return stream.FromReader(name, r) }

// FromCommand returns a stream of what a command writes to its standard output. No
// snapshot is made if it fails, is killed, or writes nothing.
func FromCommand(name string, c Command) Stream { return stream.FromCommand(name, c) }

// FromStreams returns a source of streams.
func FromStreams(streams ...Stream) (Source, error) { return stream.New(streams...) }

// Merge returns a source that holds what the sources hold, side by side in one tree.
func Merge(sources ...Source) Source { return source.Merge(sources...) }
