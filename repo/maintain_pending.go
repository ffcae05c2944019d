package repo

import (
	"context"
	"errors"
)

// Check looks for damage. The error is ErrDamagedFound if it found some; the result tells where.
func (r *Repo) Check(ctx context.Context, o CheckOptions) (*CheckResult, error) {
	return nil, errors.ErrUnsupported
}

// Scrub checks the hashes of all files of a store against their names. It needs no key. The error
// is ErrDamagedFound if some do not match; the result tells which.
func Scrub(ctx context.Context, store Store, o ScrubOptions) (*ScrubResult, error) {
	return nil, errors.ErrUnsupported
}

// ForgetPlan decides by a policy which of the snapshots that the filter selects stay. It changes
// nothing: see Remove and Forget.
func (r *Repo) ForgetPlan(ctx context.Context, p Policy, f Filter, o ForgetPlanOptions) (*ForgetPlan, error) {
	return nil, errors.ErrUnsupported
}

// Remove returns the ids of the snapshots that the plan does not keep.
func (p *ForgetPlan) Remove() []SnapshotID { return nil }

// Forget moves snapshots to the trash, where Undelete finds them until a prune empties it.
func (r *Repo) Forget(ctx context.Context, ids []SnapshotID, o ForgetOptions) (*ForgetResult, error) {
	return nil, errors.ErrUnsupported
}

// Trash returns the forgotten snapshots that the filter selects, oldest first.
func (r *Repo) Trash(ctx context.Context, f Filter) ([]TrashedSnapshot, error) {
	return nil, errors.ErrUnsupported
}

// Undelete brings snapshots back from the trash.
func (r *Repo) Undelete(ctx context.Context, ids []SnapshotID) error { return errors.ErrUnsupported }

// Log returns the log of deletions and repairs, oldest first.
func (r *Repo) Log(ctx context.Context) ([]LogEntry, error) { return nil, errors.ErrUnsupported }

// Prune gives back the space that no snapshot uses, in steps: what is unused is condemned, and
// removed by a later prune when its grace is over.
func (r *Repo) Prune(ctx context.Context, o PruneOptions) (*PruneResult, error) {
	return nil, errors.ErrUnsupported
}

// Repair makes whole again what can be: from parity, from second copies, and the index from the
// packs. It removes nothing: damaged bytes are put aside. The error is ErrDamagedFound if there was
// damage, mended or not; the result tells what is left.
func (r *Repo) Repair(ctx context.Context, o RepairOptions) (*RepairResult, error) {
	return nil, errors.ErrUnsupported
}
