package source

import (
	"context"
	"io"

	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// Source is where the data of a backup comes from.
type Source interface {
	// Root opens the top of the tree. What it holds may be only a part of a file
	// system: the folders that were asked for and those that lead to them. The
	// error satisfies errors.Is(err, ErrRootMissing) if something that was asked
	// for does not exist. The caller closes the directory.
	Root(ctx context.Context) (Dir, error)
}

// Dir is an open directory of a source.
type Dir interface {
	// List returns a look at all entries that belong to the backup, ordered by
	// name as bytes, each name once. Entries that are there but could not be
	// looked at are returned as problems instead, in the same order; entries that
	// vanished meanwhile are left out. An error says that the directory could not
	// be read to its end; what was read until then is returned beside it.
	//
	// A regular file whose size is not known before it is read has Size -1.
	//
	// The slices belong to the caller. List may be called more than once and looks
	// anew each time.
	List(ctx context.Context) ([]tree.Stat, []Problem, error)

	// OpenDir opens the directory that List returned as st. The caller closes it.
	// It fails if st.Name is no directory any more.
	OpenDir(ctx context.Context, st *tree.Stat) (Dir, error)

	// Open opens the regular file that List returned as st for reading. The caller
	// closes it. The error satisfies errors.Is(err, ErrReplaced) if another file
	// stands in its place by now, and fs.ErrNotExist if none does. A size or time
	// that differs from st is no error: File.Stat tells.
	Open(ctx context.Context, st *tree.Stat) (File, error)

	// Describe fills User, Group, Target, Xattrs (ordered by name), Flags and
	// Access of e for the entry that List returned as st, and touches no other field
	// of e. f is the open file if there is one and may be nil; called before f is
	// read, so that reading does not show in the access time. What could not be read is
	// left empty and reported in the error, which may join several; the rest of e
	// is usable all the same. Only a symbolic link whose Target is empty is not.
	Describe(ctx context.Context, st *tree.Stat, e *tree.Entry, f File) error

	// Close releases the directory.
	Close() error
}

// File is an open regular file, read once from front to back, region by region:
//
//	for {
//		region, err := f.Next()
//		if err == io.EOF { break }
//		// a hole: note region.Length
//		// data: read f until io.EOF
//	}
//
// The regions cover the file as long as it was when it was opened: what is
// appended later is not read. A file may implement io.ReaderAt as well; ReadAt
// does not move the place of Read.
type File interface {
	// Next goes on to the next region, whether or not the one before was read to
	// its end, and returns it. Its error is io.EOF after the last one. An empty
	// file has no region.
	Next() (Region, error)

	// Read reads from the current region, which must be data, and returns io.EOF
	// at its end. A file that became shorter ends early, without an error: the
	// bytes read are fewer than the region's length, and Next returns io.EOF.
	io.Reader

	// Stat returns a fresh look at the open file: if it differs from the one before
	// the first byte was read, the file changed meanwhile. A size of -1 stays -1.
	//
	// A source that can tell only at the end whether the data is good, such as the
	// output of a command, returns an error that satisfies errors.Is(err, ErrStream)
	// from Read instead of io.EOF, and here from then on: no snapshot with this file may
	// be kept.
	Stat() (tree.Stat, error)

	// Close closes the file.
	Close() error
}

// Region is a consecutive part of a file, either data or a hole.
type Region struct {
	Offset int64
	Length int64 // bytes; -1 for data that goes on until Read returns io.EOF
	Hole   bool
	// Whole says that the data, at most 16 MiB of it, was cut where it came from: it becomes one chunk.
	Whole bool
	// Chunk, if it is not zero, is the stored chunk that holds the data: there is nothing to read. It comes
	// from Past.Known and from nowhere else.
	Chunk pack.ChunkID
}

// Problem is an entry that could not be looked at.
type Problem struct {
	// Stat holds what is known all the same: always the name, the zero kind if
	// even that is unknown.
	Stat tree.Stat
	Err  error
}
