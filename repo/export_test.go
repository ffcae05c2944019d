package repo

import (
	"context"

	"github.com/snapkeep/snap/internal/tree"
)

// PartsOf shows tests the parts of a file.
func PartsOf(ctx context.Context, r *Repo, x *Entry) ([]tree.Part, error) {
	return tree.Parts(ctx, r.load, x)
}
