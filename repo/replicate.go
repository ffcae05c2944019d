package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/pack"
	"golang.org/x/sync/errgroup"
)

// ErrOtherRepository says that a store holds another repository than the one that it was to be a replica of.
var ErrOtherRepository = errors.New("this is another repository")

// ReplicateOptions say how a repository is replicated. The zero value means defaults.
type ReplicateOptions struct {
	DryRun bool
	// WarmUp, if not nil, is called before ReplicateBlind reads packs of file data. Replicate has that of the first site's Options.
	WarmUp   WarmUpFunc
	Progress *ReplicateProgress // counted up while it runs, if not nil
}

// ReplicateProgress counts what a replication has done. It may be read at any time.
type ReplicateProgress struct {
	Files, TotalFiles atomic.Int64
	Bytes, TotalBytes atomic.Int64
}

// ReplicateResult tells what a replication did, or with DryRun would do.
type ReplicateResult struct {
	Snapshots int   // taken over
	Files     int   // fetched, snapshots among them
	Bytes     int64 // of them
	// Damaged are files of the first site that were not accepted: their bytes do not match their names, or they cannot be
	// read.
	Damaged []Damage
	// Failed are snapshots that were not taken over, because something that they need was not accepted.
	Failed []ReplicateFailure
	// Forgotten are snapshots of the first site that were forgotten here, and stay so.
	Forgotten int
	// Gone are snapshots here that the first site has no more. They stay.
	Gone int
}

// ReplicateFailure is a snapshot that was not taken over.
type ReplicateFailure struct {
	ID  SnapshotID
	Err error
}

// Partial reports whether something was not accepted.
func (r *ReplicateResult) Partial() bool { return len(r.Damaged) > 0 || len(r.Failed) > 0 }

// Bounds of what is fetched at once.
const (
	fetchesAtOnce = 3        // files, each whole in memory
	fetchBatch    = 64       // packs between two index files
	smallFile     = 64 << 20 // of files that are no packs
)

// fetcher copies files of one store to another.
type fetcher struct {
	from, to Store
	dryRun   bool
	warmUp   WarmUpFunc
	progress *ReplicateProgress

	mu     sync.Mutex // guards result
	result *ReplicateResult
}

func newFetcher(from, to Store, o ReplicateOptions) *fetcher {
	if o.Progress == nil {
		o.Progress = &ReplicateProgress{}
	}
	return &fetcher{from: from, to: to, dryRun: o.DryRun, warmUp: o.WarmUp, progress: o.Progress, result: &ReplicateResult{}}
}

// read returns the bytes of a file, which match its name. The error wraps ErrDamaged if they do not.
func (f *fetcher) read(ctx context.Context, file storeFile) ([]byte, error) {
	limit := int64(smallFile)
	if kind, _ := classify(file.name); kind == fileData || kind == fileMeta {
		limit = pack.MaxPackSize
	}
	if file.size < 0 || file.size > limit {
		return nil, fmt.Errorf("%s: %w: %d bytes", file.name, ErrDamaged, file.size)
	}
	data := make([]byte, file.size)
	n, err := f.from.ReadAt(ctx, file.name, data, 0)
	if n < len(data) {
		if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("%s: %w: cut off", file.name, ErrDamaged)
		}
		return nil, err
	}
	if tells, matches := hashedName(file.name, pack.SumID(data)); tells && !matches {
		return nil, fmt.Errorf("%s: %w: its bytes do not match its name", file.name, ErrDamaged)
	}
	if kind, _ := classify(file.name); kind == fileContent && !bytes.HasPrefix(data, []byte("age-encryption.org/v1")) {
		return nil, fmt.Errorf("%s: %w: it is no wrapped key", file.name, ErrDamaged)
	}
	return data, nil
}

// fetch copies a file if its bytes match its name, and returns them. Without an error it returns nil if they do not, which is noted, or if
// the file has gone.
func (f *fetcher) fetch(ctx context.Context, file storeFile) ([]byte, error) {
	data, err := f.read(ctx, file)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // removed since it was listed
	}
	if errors.Is(err, ErrArchived) {
		return nil, fmt.Errorf("first site: %w", err) // it is whole
	}
	if err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.result.Damaged = append(f.result.Damaged, Damage{Name: file.name, Err: err})
		return nil, nil
	}
	if !f.dryRun {
		err = f.to.Create(ctx, file.name, bytes.NewReader(data), int64(len(data)))
		if errors.Is(err, fs.ErrExist) {
			return data, nil // somebody else replicates at the same time
		}
		if err != nil {
			return nil, fmt.Errorf("store %s: %w", file.name, err)
		}
	}
	f.progress.Files.Add(1)
	f.progress.Bytes.Add(int64(len(data)))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.result.Files++
	f.result.Bytes += int64(len(data))
	return data, nil
}

// fetchAll fetches files, several at a time, and calls done with the bytes of those that were accepted, from several goroutines.
func (f *fetcher) fetchAll(ctx context.Context, files []storeFile, done func(file storeFile, data []byte) error) error {
	for _, file := range files {
		f.progress.TotalFiles.Add(1)
		f.progress.TotalBytes.Add(file.size)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fetchesAtOnce)
	for _, file := range files {
		group.Go(func() error {
			data, err := f.fetch(ctx, file)
			if err == nil && data != nil && done != nil {
				err = done(file, data)
			}
			return err
		})
	}
	return group.Wait()
}

// missing lists the files of a folder that the other store does not have.
func (f *fetcher) missing(ctx context.Context, prefix string) ([]storeFile, error) {
	there := map[string]bool{}
	err := f.to.List(ctx, prefix, func(name string, _ int64, _ time.Time) error {
		there[name] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []storeFile
	err = f.from.List(ctx, prefix, func(name string, size int64, _ time.Time) error {
		if kind, _ := classify(name); kind != fileOther && !there[name] {
			out = append(out, storeFile{name, size})
		}
		return nil
	})
	slices.SortFunc(out, func(a, b storeFile) int { return strings.Compare(a.name, b.name) })
	return out, err
}

// fetchMissing fetches what is missing of a folder.
func (f *fetcher) fetchMissing(ctx context.Context, prefix string) error {
	files, err := f.missing(ctx, prefix)
	if err != nil {
		return err
	}
	if prefix == "data/" && f.warmUp != nil && len(files) > 0 && !f.dryRun {
		names := make([]string, len(files))
		for i, file := range files {
			names[i] = file.name
		}
		if err := f.warmUp(ctx, names); err != nil {
			return fmt.Errorf("packs cannot be made readable: %w", err)
		}
	}
	return f.fetchAll(ctx, files, nil)
}

// sameConfig makes sure that both stores hold the same repository, and reports whether the second holds one at all.
func (f *fetcher) sameConfig(ctx context.Context) (config []byte, there bool, err error) {
	theirs, err := keyring.LoadConfig(ctx, f.from)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = ErrNoRepository
		}
		return nil, false, fmt.Errorf("first site: %w", err)
	}
	ours, err := keyring.LoadConfig(ctx, f.to)
	if errors.Is(err, fs.ErrNotExist) {
		return theirs.Bytes(), false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if !bytes.Equal(ours.Bytes(), theirs.Bytes()) {
		return nil, false, ErrOtherRepository
	}
	return theirs.Bytes(), true, nil
}

// StartReplica makes the store a replica of the repository in another one, if it is none: it takes over the key slots, as they are at
// that time, and snap.json. What was begun by an attempt that was cut off is completed. The error wraps ErrOtherRepository or ErrExists if the
// store holds something else.
func StartReplica(ctx context.Context, from, to Store) error {
	if wantsParity(to, ParityAuto) {
		to = withParity(to)
	}
	f := newFetcher(from, to, ReplicateOptions{})
	config, there, err := f.sameConfig(ctx)
	if err == nil && !there {
		if err = checkEmpty(ctx, to); err == nil {
			err = f.fetchMissing(ctx, keyring.SlotPrefix)
		}
		if err == nil && f.result.Partial() {
			err = f.result.Damaged[0].Err
		}
		if err == nil {
			err = to.Create(ctx, keyring.ConfigName, bytes.NewReader(config), int64(len(config)))
		}
	}
	if err != nil {
		return fmt.Errorf("start replica: %w", err)
	}
	return nil
}

// replicaFolders are what a replica takes over that has no key, but for the snapshots, in the order in which it does: what another file
// needs comes before it.
var replicaFolders = []string{"content/", "data/", "meta/", sealed.Index.Prefix, sealed.Label.Prefix}

// ReplicateBlind copies everything that the snapshots of a repository may need to a replica, and then the snapshots, without any key. It verifies
// each file against the hash that is its name and accepts nothing else. It removes nothing, and takes nothing over that removes: neither the trash
// nor prune records, nor settings. See StartReplica, and Repo.Replicate for replicas that forget and prune.
func ReplicateBlind(ctx context.Context, from, to Store, o ReplicateOptions) (*ReplicateResult, error) {
	protected, err := hasParity(ctx, to, ParityAuto)
	if err == nil && protected {
		to = withParity(to)
	}
	f := newFetcher(from, to, o)
	if err == nil {
		err = f.replica(ctx)
	}
	if err != nil {
		return f.result, fmt.Errorf("replicate: %w", err)
	}
	return f.result, nil
}

func (f *fetcher) replica(ctx context.Context) error {
	_, there, err := f.sameConfig(ctx)
	if err != nil {
		return err
	}
	if !there {
		return ErrNoRepository
	}
	// Packs and index files of snapshots that come meanwhile may not be listed any more: these snapshots wait for the next time.
	snapshots, err := f.missing(ctx, sealed.Snapshot.Prefix)
	if err != nil {
		return err
	}
	for _, prefix := range replicaFolders {
		if err := f.fetchMissing(ctx, prefix); err != nil {
			return err
		}
	}
	return f.fetchAll(ctx, snapshots, func(storeFile, []byte) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.result.Snapshots++
		return nil
	})
}
