package repo

import (
	"context"
	"errors"
)

// Scrub checks the hashes of all files of a store against their names. It needs no key. The error
// is ErrDamagedFound if some do not match; the result tells which.
func Scrub(ctx context.Context, store Store, o ScrubOptions) (*ScrubResult, error) {
	return nil, errors.ErrUnsupported
}

// Check looks for damage. The error is ErrDamagedFound if it found some; the result tells where.
func (r *Repo) Check(ctx context.Context, o CheckOptions) (*CheckResult, error) {
	return nil, errors.ErrUnsupported
}

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
