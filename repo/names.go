package repo

import (
	"github.com/snapkeep/snap/internal/filter"
	"github.com/snapkeep/snap/internal/snapshot"
)

// Names of what a Snapshot record and BackupOptions hold.
type (
	// Bytes is a byte string that is text most of the time, such as a path.
	Bytes = snapshot.Bytes
	// Part is one of the things that a snapshot was made of.
	Part = snapshot.Part
	// PartKind says what a Part is.
	PartKind = snapshot.PartKind
	// Origin tells of a pulled source.
	Origin = snapshot.Origin
	// Summary counts what a backup saw and wrote.
	Summary = snapshot.Summary
)

// The kinds of parts.
const (
	PartTree   = snapshot.PartTree
	PartStream = snapshot.PartStream
)

// PatternList is a compiled list of patterns of paths: what RestoreOptions and LocalOptions include and exclude. It does not change
// and may be used by several goroutines at once. The nil PatternList matches nothing.
type PatternList = filter.List

// ErrPattern says that a pattern is malformed.
var ErrPattern = filter.ErrPattern

// Patterns compiles patterns of paths. Each part of a pattern is matched against one name by the rules of path.Match, and ** stands for
// any number of names. A pattern with a slash in front starts at the top, any other one anywhere; what it matches
// it matches with all that lies below; one behind an exclamation mark takes out again what those before it matched. The error
// wraps ErrPattern.
func Patterns(patterns ...string) (*PatternList, error) {
	return filter.Compile(patterns, filter.Options{})
}
