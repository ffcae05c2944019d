package repo

import (
	"cmp"
	"context"
	"encoding/hex"
	"io"
	"slices"
	"strings"

	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/pack"
)

// loseKeyless takes packs for lost that are whole and hold segments whose content key is lost: nobody can open these, and as long as they count as
// stored no backup stores their content anew. Only who may read file data can tell. It looks at the segments of packs if one of the keys is lost that
// the store names, or that a pack begins with.
func (p *repairing) loseKeyless(ctx context.Context) error {
	if p.r.secrets.Role() != RoleFull {
		return nil
	}
	keys := &keyTest{r: p.r, lost: map[seal.KeyID]bool{}}
	for name := range p.all {
		word, ok := strings.CutPrefix(strings.TrimPrefix(name, copyPrefix), keyring.ContentPrefix)
		if kind, _ := classify(keyring.ContentPrefix + word); !ok || kind != fileContent {
			continue
		}
		var id seal.KeyID
		_, _ = hex.Decode(id[:], []byte(word)) // 16 digits, as classify saw
		p.heads[id] = true
	}
	some := false
	for id := range p.heads {
		lost, err := keys.isLost(ctx, id)
		if err != nil {
			return err
		}
		some = some || lost
	}
	if !some {
		return nil
	}
	for i := range p.packs {
		f := p.packs[i]
		if f.class != pack.ClassData || p.archived[f.id] || slices.ContainsFunc(p.lost, func(l packFile) bool { return l.id == f.id }) {
			continue
		}
		lost, err := p.keyless(ctx, keys, &f)
		if err != nil {
			return err
		}
		if lost {
			p.lost = append(p.lost, f)
		}
	}
	return nil
}

// keyless reports whether a pack has a segment whose content key is lost.
func (p *repairing) keyless(ctx context.Context, keys *keyTest, f *packFile) (bool, error) {
	for _, id := range p.sealers[f.id] {
		if lost, err := keys.isLost(ctx, id); err != nil || lost {
			return lost, err
		}
	}
	if p.mended[f.id] != nil {
		return false, nil
	}
	_, directory, err := pack.ReadDirectoryFrom(storeReader{ctx, p.raw, f.name()}, f.size, p.r.meta, p.r.config.ID)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if err != nil {
		return false, nil // it belongs to somebody else
	}
	for i := range directory {
		var id seal.KeyID
		if n, err := p.raw.ReadAt(ctx, f.name(), id[:], int64(directory[i].Offset)); n < len(id) {
			if ctx.Err() != nil {
				return false, context.Cause(ctx)
			}
			return false, cmp.Or(err, io.ErrUnexpectedEOF)
		}
		if lost, err := keys.isLost(ctx, id); err != nil || lost {
			return lost, err
		}
	}
	return false, nil
}

// keyTest tells which content keys are lost, and remembers it.
type keyTest struct {
	r    *Repo
	lost map[seal.KeyID]bool
}

func (k *keyTest) isLost(ctx context.Context, id seal.KeyID) (bool, error) {
	lost, known := k.lost[id]
	if known {
		return lost, nil
	}
	_, err := k.r.content.Key(ctx, id)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if err != nil && !IsDamage(err) {
		return false, err
	}
	k.lost[id] = err != nil
	return err != nil, nil
}
