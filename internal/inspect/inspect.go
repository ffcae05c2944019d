package inspect

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/store"
	"github.com/snapkeep/snap/pack"
)

// Limits of what is read whole.
const (
	maxClearFile = 1 << 20 // bytes of snap.json and key slots
	maxWrapped   = 64 << 10
	cacheBytes   = 16 << 20
)

// Repository is an open repository.
type Repository struct {
	store   store.Store
	records *sealed.Records
	keys    chunks.Keys
}

// ErrID says that an id is not the beginning of exactly one name.
var ErrID = errors.New("not the beginning of one id")

// Open opens the repository in a store. The store stays the caller's.
func Open(ctx context.Context, st store.Store, credential *keyring.Credential) (*Repository, error) {
	config, err := keyring.LoadConfig(ctx, st)
	if err != nil {
		return nil, fmt.Errorf("open repository: %w", err)
	}
	opened, err := keyring.OpenStore(ctx, st, config, credential)
	if err != nil {
		return nil, fmt.Errorf("open repository: %w", err)
	}
	metadata := opened.Secrets.Metadata(config.ID)
	content := keyring.NewContentKeys(opened.Secrets, config.ID, func(ctx context.Context, id seal.KeyID) ([]byte, error) {
		return sealed.ReadFile(ctx, st, keyring.ContentKeyName(id), maxWrapped)
	})
	return &Repository{store: st, records: sealed.New(st, metadata),
		keys: chunks.Keys{Repository: config.ID, ChunkIDs: opened.Secrets.IDKey(), Metadata: metadata, Content: content.Key}}, nil
}

// Config returns snap.json as it is stored.
func (r *Repository) Config(ctx context.Context) ([]byte, error) {
	return sealed.ReadFile(ctx, r.store, "snap.json", maxClearFile)
}

// Slot returns the key slot whose id begins with id as it is stored.
func (r *Repository) Slot(ctx context.Context, id string) ([]byte, error) {
	name, err := r.name(ctx, keyring.SlotPrefix, id)
	if err != nil {
		return nil, err
	}
	return sealed.ReadFile(ctx, r.store, name, maxClearFile)
}

// Index returns the index file whose name begins with id.
func (r *Repository) Index(ctx context.Context, id string) (index.File, error) {
	name, err := r.name(ctx, sealed.Index.Prefix, id)
	if err != nil {
		return index.File{}, err
	}
	full, err := pack.ParseID(strings.TrimPrefix(name, sealed.Index.Prefix))
	if err != nil {
		return index.File{}, fmt.Errorf("%s: %w", name, err)
	}
	return r.load(ctx, full)
}

func (r *Repository) load(ctx context.Context, id pack.ID) (index.File, error) {
	body, err := r.records.Load(ctx, sealed.Index, id)
	if err != nil {
		return index.File{}, fmt.Errorf("index %s: %w", id, err)
	}
	f, err := index.Decode(body)
	if err != nil {
		return index.File{}, fmt.Errorf("index %s: %w", id, err)
	}
	return f, nil
}

// Chunk returns what the chunk of an id holds, file data or a page of a tree.
func (r *Repository) Chunk(ctx context.Context, id pack.ChunkID) ([]byte, error) {
	set, kind := index.NewSet(), pack.Kind(0)
	defer set.Close()
	names, err := r.names(ctx, sealed.Index.Prefix)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		full, err := pack.ParseID(strings.TrimPrefix(name, sealed.Index.Prefix))
		if err != nil {
			continue // no index file
		}
		f, err := r.load(ctx, full)
		if err != nil {
			return nil, err
		}
		for _, p := range f.Packs {
			if k := kindOf(p, id); k != 0 {
				kind = k
				set.Add(p)
			}
		}
	}
	if kind == 0 {
		return nil, fmt.Errorf("%s: %w", id, chunks.ErrMissing)
	}
	return chunks.NewLoader(r.store, set, r.keys, cacheBytes).Load(ctx, kind, id)
}

// kindOf returns the kind of the segment of p that holds the chunk, 0 if none does.
func kindOf(p index.Pack, id pack.ChunkID) pack.Kind {
	for _, s := range p.Directory {
		for _, c := range s.Chunks {
			if c.ID == id {
				return s.Kind
			}
		}
	}
	return 0
}

// name completes the beginning of an id.
func (r *Repository) name(ctx context.Context, prefix, id string) (string, error) {
	if id == "" || strings.Trim(id, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%q: %w", id, ErrID)
	}
	names, err := r.names(ctx, prefix+id)
	if err != nil {
		return "", err
	}
	if len(names) != 1 {
		return "", fmt.Errorf("%q: %w: %d begin with it", id, ErrID, len(names))
	}
	return names[0], nil
}

func (r *Repository) names(ctx context.Context, prefix string) (names []string, err error) {
	err = r.store.List(ctx, prefix, func(name string, _ int64, _ time.Time) error {
		names = append(names, name)
		return nil
	})
	return names, err
}
