package repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/check"
	"github.com/snapkeep/snap/internal/parity"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/pack"
	"golang.org/x/sync/errgroup"
)

// storeFile is a file as a listing shows it.
type storeFile struct {
	name string
	size int64
}

// Scrub checks the hashes of all files of a store against their names. It needs no key, and so works on a copy of
// the store in a place that is not trusted. The error is ErrDamagedFound if some do not match; the result tells which.
func Scrub(ctx context.Context, store Store, o ScrubOptions) (*ScrubResult, error) {
	if o.Progress == nil {
		o.Progress = &CheckProgress{}
	}
	var files []storeFile
	err := store.List(ctx, "", func(name string, size int64, _ time.Time) error {
		if kind, _ := classify(name); kind != fileOther && kind != fileBad && kind != fileSession {
			files = append(files, storeFile{name, size})
			o.Progress.TotalPacks.Add(1)
			o.Progress.TotalBytes.Add(size)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("scrub: %w", err)
	}
	if o.WarmUp != nil {
		if err := warmUpAll(ctx, files, o.WarmUp); err != nil {
			return nil, fmt.Errorf("scrub: %w", err)
		}
	}
	result := &ScrubResult{}
	var mu sync.Mutex // guards result
	err = inParallel(ctx, files, func() func(ctx context.Context, f storeFile) error {
		h := check.NewHasher(store)
		return func(ctx context.Context, f storeFile) error {
			sum, read, err := h.Sum(ctx, f.name, f.size)
			kind, id := classify(f.name)
			if kind == fileParity && err == nil {
				err = checkParity(ctx, store, id)
			}
			o.Progress.Packs.Add(1)
			o.Progress.Bytes.Add(read)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil // removed since
			}
			if errors.Is(err, ErrArchived) {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			tells, matches := hashedName(f.name, sum)
			tells, matches = tells || kind == fileParity, matches || kind == fileParity
			if err == nil && tells && !matches {
				err = fmt.Errorf("%w: its bytes do not match its name", ErrDamaged)
			}
			mu.Lock()
			defer mu.Unlock()
			result.Files++
			result.Bytes += read
			if err != nil {
				result.Damage = append(result.Damage, Damage{Name: f.name, Err: err})
			} else if !tells {
				result.Unverified++
			}
			return nil
		}
	})
	if err != nil {
		return nil, fmt.Errorf("scrub: %w", err)
	}
	sortDamage(result.Damage)
	if len(result.Damage) > 0 {
		return result, ErrDamagedFound
	}
	return result, nil
}

// warmUpAll makes all packs of file data among files readable.
func warmUpAll(ctx context.Context, files []storeFile, warmUp WarmUpFunc) error {
	var names []string
	for _, f := range files {
		if kind, _ := classify(f.name); kind == fileData {
			names = append(names, f.name)
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return nil
	}
	if err := warmUp(ctx, names); err != nil {
		return fmt.Errorf("packs cannot be made readable: %w", err)
	}
	return nil
}

// checkParity returns what is wrong with the parity of a pack.
func checkParity(ctx context.Context, store Store, id pack.ID) error {
	_, err := readParity(ctx, store, id)
	return err
}

// readParity reads the parity of a pack. An error beside it says that it is damaged in part.
func readParity(ctx context.Context, store Store, id pack.ID) (*parity.File, error) {
	file, err := sealed.ReadFile(ctx, store, parityName(id), parity.MaxFileSize)
	if err != nil {
		return nil, err
	}
	p, err := parity.Parse(file)
	if err != nil {
		return nil, err
	}
	if p.Name != id {
		return nil, fmt.Errorf("%w: it is of pack %s", parity.ErrCorrupt, p.Name)
	}
	return p, p.Damaged
}

func sortDamage(d []Damage) {
	slices.SortFunc(d, func(a, b Damage) int { return cmp.Compare(a.Name, b.Name) })
}

// inParallel hands items to as many workers as there are cores. Each has its own function, from worker.
func inParallel[T any](ctx context.Context, items []T, worker func() func(context.Context, T) error) error {
	group, ctx := errgroup.WithContext(ctx)
	queue := make(chan T)
	group.Go(func() error {
		defer close(queue)
		for _, item := range items {
			select {
			case queue <- item:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	for range min(max(2, runtime.GOMAXPROCS(0)), max(1, len(items))) {
		group.Go(func() error {
			do := worker()
			for item := range queue {
				if err := do(ctx, item); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// badPacks knows what of the packs cannot be read.
type badPacks map[pack.ID]*badPack

// badPack is a pack of which all or some segments are bad.
type badPack struct {
	all      bool
	segments []uint32 // offsets
}

func (b badPacks) whole(id pack.ID) { b[id] = &badPack{all: true} }

// has reports whether a segment is bad.
func (b badPacks) has(id pack.ID, offset uint32) bool {
	p := b[id]
	return p != nil && (p.all || slices.Contains(p.segments, offset))
}
