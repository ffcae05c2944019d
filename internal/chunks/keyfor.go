package chunks

import (
	"context"

	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/pack"
)

// keyFor returns the key that opens the segment in box.
func (k *Keys) keyFor(ctx context.Context, kind pack.Kind, box []byte) (*seal.Key, error) {
	if kind != pack.KindData {
		return k.Metadata, nil
	}
	id, err := seal.BoxKey(box)
	if err != nil {
		return nil, err
	}
	return k.Content(ctx, id)
}
