package repo

import (
	"context"
	"errors"
)

// Repair makes whole again what can be: from parity, from second copies, and the index from the
// packs. It removes nothing: damaged bytes are put aside. The error is ErrDamagedFound if there was
// damage, mended or not; the result tells what is left.
func (r *Repo) Repair(ctx context.Context, o RepairOptions) (*RepairResult, error) {
	return nil, errors.ErrUnsupported
}
