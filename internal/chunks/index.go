package chunks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/pack"
)

// ErrGone says that a pack is not there any more which a run has written and not yet named in an index file: the run was asleep for so
// long that a prune took the pack for a leftover.
var ErrGone = errors.New("what this run has written was removed meanwhile")

// freshPack is how long ago, by the clock of the storage, a pack was stored at most that nobody can have taken for a leftover: a prune without a
// grace does so when its run has given no sign of life for an hour, and a sign is at most ten minutes old; others after a day. The rest is for clocks of a cluster that differ.
const freshPack = 30 * time.Minute

// Age tells how old packs are.
type Age struct {
	Stored time.Time                  // the clock of the storage before the first of them was; zero if that is not known
	Local  time.Time                  // this machine's then, without its monotonic part, which stands still while the machine sleeps
	Clock  func() time.Time           // tells what the storage's says now, or zero; nil if nothing does
	Noted  func(since time.Time) bool // reports whether the storage has signs of life of this run since a time by this machine's clock; nil if it has
}

// isFresh reports whether nobody can have taken the packs for leftovers. Both clocks have to say so: an answer may come from a proxy, and from a server whose
// clock is not that of the one before.
func (a *Age) isFresh() bool {
	if a.Clock == nil || a.Stored.IsZero() || (a.Noted != nil && !a.Noted(a.Local)) {
		return false
	}
	isShort := func(d time.Duration) bool { return d >= 0 && d < freshPack }
	return isShort(a.Clock().Sub(a.Stored)) && isShort(time.Now().Round(0).Sub(a.Local))
}

// SaveIndex stores an index file of packs that were written lately. It makes sure that they are there when the file is: a prune that comes
// later knows them by the file. The error wraps ErrGone if they are not, and then the file is removed.
func SaveIndex(ctx context.Context, store Store, records *sealed.Records, file index.File, age Age) (pack.ID, error) {
	id, err := records.Save(ctx, sealed.Index, index.Encode(file))
	if err != nil || age.isFresh() {
		return id, err
	}
	for _, p := range file.Packs {
		_, _, err := store.Stat(ctx, pack.Name(p.Class, p.ID))
		if err == nil {
			continue
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: pack %s", ErrGone, p.ID)
		}
		if r, ok := store.(remover); ok {
			err = errors.Join(err, r.Remove(context.WithoutCancel(ctx), sealed.Index.Prefix+id.String()))
		}
		return id, err
	}
	return id, nil
}

// remover is a Store that removes files.
type remover interface {
	Remove(ctx context.Context, name string) error
}
