package repo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/snapkeep/snap/internal/store"
)

// ErrNoPast says that a store does not keep what was removed or overwritten.
var ErrNoPast = errors.New("this store keeps no versions: only S3 buckets with versioning can be opened as they were")

// AsOf returns a store as it was at a time by the clock of the storage, to be opened and read: what was removed or overwritten since is there.
// Closing it closes s. The error is ErrNoPast if the store keeps no versions.
func AsOf(s Store, at time.Time) (Store, error) {
	p, ok := able[interface {
		AsOf(at time.Time) store.Store
	}](s)
	if !ok {
		return nil, ErrNoPast
	}
	return p.AsOf(at), nil
}

// mayRemove returns ErrMayNotRemove if the credentials for a store elsewhere do not allow to remove files.
func (r *Repo) mayRemove(ctx context.Context) error {
	if !isRemote(r.store) || r.opts.OneRun && r.mayDelete.Load() {
		return nil
	}
	err := r.tryRemove(ctx)
	r.mayDelete.Store(err == nil)
	return err
}

// tryRemove removes something that nobody needs.
func (r *Repo) tryRemove(ctx context.Context) error {
	if d, ok := able[deleter](r.store); ok {
		return noRemoval(d.Delete(ctx, fmt.Sprintf("%s%s-%06d", sessionPrefix, newRun(), 0))) // there is no such file
	}
	probe := &session{r: r, run: newRun(), body: sessionRecord{Version: sessionVersion, What: "probe", Time: r.now().UTC()}}
	if err := probe.create(ctx, 0); err != nil {
		return err
	}
	return noRemoval(r.store.Remove(ctx, probe.name(0)))
}

// noRemoval adds ErrMayNotRemove to the error of a removal that was not permitted.
func noRemoval(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %w", ErrMayNotRemove, err)
	}
	return err
}

// newRun returns the name of a run.
func newRun() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}
