package faulty

// Class is a set of kinds of operations.
type Class uint

// The kinds of operations. Spool starts a file without a name, SpoolWrite
// appends to it, and Commit gives it its name.
const (
	Create Class = 1 << iota
	ReadAt
	List
	Remove
	Stat
	Spool
	SpoolWrite
	Commit

	// Writes is all that changes what is stored or prepares it.
	Writes = Create | Remove | Spool | SpoolWrite | Commit
	// Reads is all that looks at what is stored.
	Reads = ReadAt | List | Stat
	// All is every operation.
	All = Writes | Reads
)
