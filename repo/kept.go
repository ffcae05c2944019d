package repo

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/store/cached"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// Folders of Options.CacheDir, in that of a repository.
const (
	keptFolder   = "files"
	checkPattern = "check-*"
	checkAge     = 24 * time.Hour // after that what a check has left belongs to nobody
)

// openKept begins to keep metadata on this machine, if the store is elsewhere. From then on r.store keeps what is written through it, and
// reads the store; r.near reads what is kept where it can. The near one is for what a listing of this run has shown, or the index
// names: it answers what the store would have answered then.
func (r *Repo) openKept() {
	r.near = r.store
	if r.opts.CacheDir == "" || r.opts.MetadataCacheBytes < 0 || !isRemote(r.store) {
		return
	}
	r.kept = r.newKept(r.store, filepath.Join(r.opts.CacheDir, r.ID(), keptFolder), func(err error) {
		r.log.Warn("metadata cannot be kept on this machine, and is read from the store", "error", err)
	})
	r.near, r.store = r.kept.Reader(), r.kept.Writer()
}

func (r *Repo) newKept(inner Store, dir string, warn func(error)) *cached.Cache {
	return cached.New(inner, cached.Options{Dir: dir, MaxBytes: r.opts.MetadataCacheBytes, Named: keepable, Size: r.sizeOf, Warn: warn})
}

// keepable reports whether a file is worth to be kept, and the hash of its bytes that its name is.
func keepable(name string) (pack.ID, bool) {
	kind, id := classify(name)
	switch kind {
	case fileMeta, fileIndex, fileSnapshot, fileLabel, filePrune:
		return id, true
	}
	return id, false
}

// sizeOf returns the size of a pack of metadata that the index names.
func (r *Repo) sizeOf(id pack.ID) (int64, bool) {
	p, ok := r.set.Pack(id)
	return p.Size, ok && p.Class == pack.ClassMeta
}

// openNear makes what reads by way of r.near.
func (r *Repo) openNear() {
	r.nearRecords, r.nearLoader = r.records, r.loader
	if r.kept == nil {
		return
	}
	r.nearRecords = sealed.New(r.near, r.meta)
	r.nearRecords.Fallback(copies{r.store})
	r.nearLoader = chunks.NewLoader(r.near, r.set, r.keys, r.opts.CacheBytes)
}

// loadNear returns a function that loads pages with near, a Loader by way of r.near. Those that are in no pack which counts as there are
// loaded from the store by far, or not at all, and so are those of which near has got something wrong.
func (r *Repo) loadNear(near, far *chunks.Loader) tree.LoadPage {
	if near == far {
		return far.Load
	}
	return func(ctx context.Context, kind pack.Kind, id pack.ChunkID) ([]byte, error) {
		if _, ok := r.set.Lookup(id); ok {
			data, err := near.Load(ctx, kind, id)
			if err == nil || ctx.Err() != nil || !IsDamage(err) {
				return data, err
			}
		}
		return far.Load(ctx, kind, id)
	}
}

// dropKept removes what is kept of files that a listing of a folder does not show.
func (r *Repo) dropKept(prefix string, shown func(id pack.ID) bool) {
	if r.kept != nil {
		r.kept.Drop(strings.TrimSuffix(prefix, "/"), shown)
	}
}

// isOneOf returns a function that reports whether an id is one of some.
func isOneOf(ids []pack.ID) func(pack.ID) bool {
	set := make(map[pack.ID]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return func(id pack.ID) bool { return set[id] }
}

// readOnce returns a store for one run that reads small files and packs of metadata of r.store once, whole, and compares them with their
// names: what it reads again was whole in the store a moment ago. What is damaged it reads as it is. load loads pages from it; end removes what
// it has kept.
func (r *Repo) readOnce() (once Store, load tree.LoadPage, end func()) {
	plain := func() (Store, tree.LoadPage, func()) { return r.store, r.loader.Load, func() {} }
	if r.kept == nil {
		return plain()
	}
	pattern := filepath.Join(r.opts.CacheDir, r.ID(), checkPattern)
	left, _ := filepath.Glob(pattern)
	for _, dir := range left {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > checkAge {
			_ = os.RemoveAll(dir)
		}
	}
	dir, err := os.MkdirTemp(filepath.Split(pattern))
	if err != nil {
		return plain()
	}
	once = r.newKept(r.store, dir, nil).Reader()
	near := chunks.NewLoader(once, r.set, r.keys, r.opts.CacheBytes)
	return once, r.loadNear(near, r.loader), func() { _ = os.RemoveAll(dir) }
}
