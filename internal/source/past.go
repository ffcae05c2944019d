package source

import (
	"context"
	"time"

	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// Informed is a Source that has less to read if it knows what is stored of it.
type Informed interface {
	Source
	// Inform is called once, before Root. The past is valid until the run ends.
	Inform(ctx context.Context, past Past) error
}

// Past is what is stored of a source, and of no other. It is safe for concurrent use.
type Past interface {
	// Tree returns a new cursor at the start of the tree that the run compares with, or nil if there is none.
	Tree(ctx context.Context) (*tree.Cursor, error)
	// Known returns the id of the stored chunk of file data whose bytes have the plain BLAKE3 hash, if a snapshot of
	// this source uses it or this run has saved it. A chunk that only other sources have is not known.
	Known(ctx context.Context, hash [32]byte) (id pack.ChunkID, known bool, err error)
	// Empty reports whether nothing was stored of the source when the run began: there is no use in asking.
	Empty() bool
	// Saved says that the run has saved a chunk of file data that the source sent.
	Saved(id pack.ChunkID)
}

// Clocked is a Source whose files are stamped by a clock that is not this machine's.
type Clocked interface {
	Source
	// Now returns the time by that clock.
	Now() time.Time
}

// Prefetcher is a Dir that can have the content of files on its way before they are opened.
type Prefetcher interface {
	Dir
	// Prefetch says that the regular file will be opened soon, after those that were named before it. It does not wait.
	// What is fetched and never opened is given up when the source ends.
	Prefetch(st *tree.Stat)
}

// Looker is a Dir that can look at one entry without listing all.
type Looker interface {
	Dir
	// Look returns what List would for the entry. The error satisfies errors.Is(err, fs.ErrNotExist) if List would not
	// have it.
	Look(name string) (tree.Stat, error)
}
