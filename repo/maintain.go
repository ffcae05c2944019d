package repo

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/snapkeep/snap/internal/retention"
)

// Errors of maintenance.
var (
	// ErrDamagedFound says that a check, scrub or repair has found damage. The result that comes
	// with it tells where.
	ErrDamagedFound = errors.New("the repository is damaged")
	// ErrSubset says that CheckOptions.Subset is none.
	ErrSubset = errors.New("no subset")
	// ErrBusy says that another program writes to the repository, where nobody else may.
	ErrBusy = errors.New("another program writes to the repository")
	// ErrOvertaken says that a prune took away what a backup had built on. No snapshot was
	// made; the next backup reads anew what is missing.
	ErrOvertaken = errors.New("data that the backup had found stored was removed meanwhile: run it again")
	// ErrLastOfSource says that a source would lose its last snapshot.
	ErrLastOfSource = errors.New("no snapshot of the source would be left")
	// ErrClockSkew says that the clocks of this machine and of the storage disagree, so that
	// nothing is removed.
	ErrClockSkew = errors.New("the clocks of this machine and of the storage disagree")
)

// Grace times of prune.
const (
	// DefaultGraceTrash is how long a forgotten snapshot can be brought back.
	DefaultGraceTrash = 7 * 24 * time.Hour
	// DefaultGracePacks is how long a condemned pack stays.
	DefaultGracePacks = 72 * time.Hour
	// MinGracePacks is the least of PruneOptions.GracePacks. It allows for listings of the storage
	// that are up to an hour late.
	MinGracePacks = 2*time.Hour + 15*time.Minute
	// MaxClockSkew is how far the clocks of this machine and of the storage may be apart.
	MaxClockSkew = retention.MaxSkew
)

// CheckOptions say how much a check reads. The zero value checks the structure: every record
// opens, every page of every tree is there and whole, every chunk that a file needs is in
// a pack, and the packs have the sizes that the index gives.
type CheckOptions struct {
	// ReadData reads all packs: their hashes, directories and segments, and every chunk. File
	// data is opened only with a full key slot; with a writer's its hashes are checked.
	ReadData bool
	// Subset restricts ReadData, which it implies, to some packs: "n/t" is the n-th of t parts, "x%" a
	// random share, and a size such as "500M" so many bytes, chosen at random.
	Subset string
	// Ledger, if not nil, remembers which packs were read and found whole.
	Ledger *Ledger
	// MaxAge, which implies ReadData and needs a Ledger, leaves out packs that were verified lately, so that
	// all are verified within that time if a quarter of the runs in it is enough to read all.
	MaxAge time.Duration
	// MaxDuration is after how long no more packs are read; 0 means no bound. With a Ledger those are read first that were
	// verified longest ago.
	MaxDuration time.Duration
	// MaxFiles is how many affected files are listed for a snapshot; 0 means 1,000, and a negative
	// number all.
	MaxFiles int
	// Progress, if not nil, is counted up while the check runs.
	Progress *CheckProgress

	fresh freshPacks
}

// CheckProgress counts what a check, scrub or repair has done. It may be read at any time.
type CheckProgress struct {
	Packs, TotalPacks atomic.Int64 // read
	Bytes, TotalBytes atomic.Int64 // of the packs
	Snapshots         atomic.Int64 // trees looked at
}

// CheckResult tells what a check saw.
type CheckResult struct {
	Snapshots int   // in snapshots and trash
	Packs     int   // in the index
	PackBytes int64 // their size
	Pages     int   // of trees, each counted once
	PacksRead int
	PacksLeft int // not read, because time was up
	BytesRead int64
	// Coverage tells what is verified according to the ledger; nil without one.
	Coverage *Coverage
	// DataOpened says that the file data in the packs that were read was opened and hashed, chunk
	// by chunk. Else only the hashes of these packs were checked.
	DataOpened bool

	Damage   []Damage   // by name of the file in the store
	Affected []Affected // what the damage does to snapshots
	// Orphans are packs that no index file names. They hold nothing that a snapshot needs and
	// are removed by prune.
	Orphans     []string
	OrphanBytes int64
}

// Damage is a file of the store that is damaged or missing.
type Damage struct {
	Name    string // in the store
	Missing bool   // the file is not there at all
	Err     error
}

// Affected says what damage does to a snapshot.
type Affected struct {
	Snapshot *Snapshot
	// Files are the paths of the files that cannot be restored, or not wholly.
	Files []string
	More  int // files that are not listed
	// Tree, if not nil, says that a part of the tree cannot be read, so that there may be files that are
	// not even known.
	Tree error
}

// Policy says which snapshots a source keeps.
type Policy = retention.Policy

// DefaultPolicy returns 7 daily, 4 weekly and 12 monthly.
func DefaultPolicy() Policy { return retention.DefaultPolicy() }

// ForgetPlan says which snapshots a policy keeps.
type ForgetPlan struct {
	Policy  Policy
	Sources []ForgetSource
	// Unmatched are the tags to keep that no snapshot has, likely to be mistyped.
	Unmatched []string
}

// ForgetSource is the part of a plan for one source.
type ForgetSource struct {
	ID        string // of the source, 32 hex digits
	Name      string
	Policy    Policy
	Decisions []ForgetDecision // newest first
}

// ForgetDecision is the part of a plan for one snapshot.
type ForgetDecision struct {
	retention.Decision
	Record *Snapshot
}

// ForgetPlanOptions change how a plan is made. The zero value is the safest.
type ForgetPlanOptions struct {
	// ReleaseSuspicious lets snapshots go although the newest of their source is suspicious.
	ReleaseSuspicious bool
	// Estimate fills in until when each snapshot stays.
	Estimate bool
}

// ForgetOptions say how snapshots are forgotten.
type ForgetOptions struct {
	// Now removes the records at once instead of moving them to the trash. They cannot be brought
	// back.
	Now bool
	// AllowAll permits that a source loses its last snapshot.
	AllowAll bool
	// Why is noted in the log.
	Why string
}

// ForgetResult tells what was forgotten.
type ForgetResult struct {
	Forgotten []SnapshotID
}

// TrashedSnapshot is a snapshot that was forgotten and can be brought back.
type TrashedSnapshot struct {
	*Snapshot
	// Forgotten is when, by the clock of the storage.
	Forgotten time.Time
}

// LogEntry is an entry of the log of deletions and repairs.
type LogEntry struct {
	Version  int       `json:"version"`
	Previous []string  `json:"previous,omitempty"` // names of the entries before this one
	Time     time.Time `json:"time"`
	What     string    `json:"what"` // forget, undelete, trash, prune or repair
	Why      string    `json:"why,omitempty"`
	Host     string    `json:"host,omitempty"`
	// Final says that what was forgotten did not go to the trash.
	Final bool `json:"final,omitempty"`
	// Snapshots were forgotten, brought back, or removed from the trash.
	Snapshots []string `json:"snapshots,omitempty"`
	// Packs and other files were removed or mended.
	Files []string `json:"files,omitempty"`
	Bytes int64    `json:"bytes,omitempty"`

	Name string `json:"-"` // in the store, without the folder
	// Missing says that the entry is gone: only the name that another entry gives is known.
	Missing bool `json:"-"`
	// Err says why the entry cannot be read, if it cannot.
	Err error `json:"-"`
}

// PruneOptions say what a prune may do. The zero value means defaults.
type PruneOptions struct {
	// Now skips all graces: the trash is emptied and packs are removed at once. It fails with
	// ErrBusy if somebody else writes to the repository.
	Now bool
	// DryRun writes and removes nothing.
	DryRun bool
	// MaxRepack bounds how many bytes are copied to new packs; 0 means no bound. Negative means none.
	MaxRepack int64
	// MaxUnused is the share, from 0 to 1, of the stored data that may stay unused in packs that
	// are partly needed; 0 means 0.15. Negative means none.
	MaxUnused float64
	// MaxDuration is after how long no more packs are copied; 0 means no bound.
	MaxDuration time.Duration
	// GraceTrash is how long a forgotten snapshot stays; 0 means DefaultGraceTrash.
	GraceTrash time.Duration
	// GracePacks is how long a condemned pack stays; 0 means DefaultGracePacks.
	GracePacks time.Duration
}

// PruneResult tells what a prune did, or with DryRun would do. Bytes are those of files in
// the store.
type PruneResult struct {
	Snapshots int // live, with those in the trash
	Trashed   int // in the trash
	Emptied   int // removed from the trash

	Packs       int // before
	PackBytes   int64
	Stored      int // of them and those that no index file names, before
	StoredBytes int64
	LiveBytes   int64 // of segments that are needed
	UnusedBytes int64 // of segments in packs that are partly needed; after the prune
	DeadPacks   int   // needed by nobody, condemned by this prune
	DeadBytes   int64
	Repacked    int // partly needed, condemned by this prune
	RepackBytes int64
	CopiedBytes int64 // of segments that were copied to new packs
	NewPacks    int
	Orphans     int // packs in no index file, condemned by this prune
	OrphanBytes int64

	RemovedPacks int // freed
	RemovedBytes int64
	WaitingPacks int // condemned, and waiting for the end of their grace
	WaitingBytes int64
	WaitingUntil time.Time // when the next of them can go, by the clock of the storage; zero if none waits
	YoungBytes   int64     // unused, and too young to be condemned

	RemovedIndexes int // index files that were merged into others
	// Rescued are chunks that were copied out of condemned packs, for snapshots that came later.
	Rescued       int
	MissingChunks int // needed and in no pack: see Check
	DamagedPacks  int // that could not be copied: see Check
	// Unfinished says that a bound of the options was reached before MaxUnused was.
	Unfinished bool
}

// RepairOptions say how a repository is repaired.
type RepairOptions struct {
	// DryRun writes nothing.
	DryRun bool
	// MaxFiles is as in CheckOptions.
	MaxFiles int
	Progress *CheckProgress
}

// RepairResult tells what a repair did, or with DryRun would do.
type RepairResult struct {
	Mended   []string // files that were damaged or missing, and are whole again
	Indexed  int      // packs that snapshots need and no index file named, in the index again
	Salvaged int      // segments of broken packs that were copied to new packs
	Archived int      // packs in an archive, which were not read, and not changed: see Options.WarmUp
	// What a run leaves that was cut off is no damage. Adopted counts the packs that no index file named and no snapshot needs: they are in the index
	// now, for the next backup to use or the next prune to remove. Protected are second copies and parity that were not there and are now.
	Adopted   int
	Protected []string
	// Damage is what could not be mended, Affected what that does to snapshots. The next
	// backup of an unchanged source brings the data back.
	Damage   []Damage
	Affected []Affected
}

// ScrubOptions say what a scrub does.
type ScrubOptions struct {
	Progress *CheckProgress
	WarmUp   WarmUpFunc // called before packs of file data are read, if not nil
}

// ScrubResult tells what a scrub saw.
type ScrubResult struct {
	Files, Bytes int64
	Unverified   int64 // files that have no hash in their name, and were only read
	Damage       []Damage
}
