package repo

import (
	"context"

	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/store"
	"github.com/snapkeep/snap/internal/store/sftp"
)

// ErrHostKey says that the key of an SFTP server is not the known one, or that none is known.
var ErrHostKey = sftp.ErrHostKey

// DefaultPackSize is the size in bytes at which packs are ended if nothing says otherwise.
const DefaultPackSize = chunks.DefaultPackSize

// able returns what a store can do beyond the five operations: the store itself, or the first that it wraps, that is a T.
func able[T any](s Store) (T, bool) {
	for {
		if t, ok := any(s).(T); ok {
			return t, true
		}
		w, ok := s.(store.Wrapper)
		if !ok {
			var none T
			return none, false
		}
		s = w.Unwrap()
	}
}

// Unwrap implements store.Wrapper.
func (s *redundant) Unwrap() store.Store { return s.Store }

// isRemote reports whether a store may be slow to list thousands of files.
func isRemote(s Store) bool {
	remote, ok := able[remoteStore](s)
	return ok && remote.Remote()
}

// applySettings lets the settings of the repository hold for what this Repo writes, as far as its options do not say
// otherwise. Settings that cannot be read are warned of, and defaults hold.
func (r *Repo) applySettings(ctx context.Context, from lister) {
	s, err := r.settings(ctx, from)
	if err != nil {
		if ctx.Err() == nil {
			r.log.Warn("the settings of the repository cannot be read: defaults hold", "error", err)
		}
		return
	}
	if r.opts.Compression == "" {
		r.opts.Compression = s.Compression
	}
	if r.opts.PackSize == 0 {
		r.opts.PackSize = s.PackSize
	}
	r.applied = true
	r.objectLock, r.unlocked = s.ObjectLock, r.lockNew(s.ObjectLock)
}
