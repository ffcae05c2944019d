package s3

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/snapkeep/snap/internal/store"
)

// Versions calls fn for each version of each file whose name begins with prefix, markers of removal included, in no order. After a failure on the
// way a version may come once more.
func (s *Store) Versions(ctx context.Context, prefix string, fn func(name string, v store.Version) error) error {
	err := s.check(ctx)
	var stopped error
	if err == nil {
		err = s.versions(ctx, prefix, func(name string, v store.Version) error {
			stopped = fn(name, v)
			return stopped
		})
	}
	if stopped != nil {
		return stopped
	}
	return s.wrap("list versions", prefix, err)
}

// versions lists page by page. After a failure it begins anew.
func (s *Store) versions(ctx context.Context, prefix string, fn func(name string, v store.Version) error) error {
	opts := minio.ListObjectsOptions{Prefix: s.location.key(prefix), Recursive: true, WithVersions: true, MaxKeys: s.opts.ListPage}
	var stopped error
	err := s.do(ctx, func(*try) error {
		for o := range s.client.ListObjectsIter(ctx, s.location.Bucket, opts) {
			if o.Err != nil {
				return o.Err
			}
			name, ok := s.location.name(o.Key)
			if !ok {
				continue
			}
			if stopped = fn(name, store.Version{ID: o.VersionID, Size: o.Size, Time: storedAt(o.VersionID, o.LastModified), Removed: o.IsDeleteMarker, Latest: o.IsLatest}); stopped != nil {
				return nil
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	})
	if stopped != nil {
		return stopped
	}
	return err
}

// storedAt returns when a version was stored. versitygw tells other times: of an older version when it was superseded, and of a marker when what it
// hides was stored. But its version ids are ULIDs, which begin with the time at which they were made. Other servers have ids of other lengths.
func storedAt(version string, modified time.Time) time.Time {
	const digits, whole, ofTime = "0123456789ABCDEFGHJKMNPQRSTVWXYZ", 26, 10
	if len(version) != whole {
		return modified
	}
	millis := int64(0)
	for i := range whole {
		d := strings.IndexByte(digits, version[i])
		if d < 0 {
			return modified
		}
		if i < ofTime {
			millis = millis<<5 | int64(d)
		}
	}
	return time.UnixMilli(millis).UTC()
}

// AsOf returns the store as it was at a time, by the clock of the storage: with the versions that it showed then, whatever was removed or overwritten
// since. It can only be read. The bucket has to keep versions. Closing it closes s.
func (s *Store) AsOf(at time.Time) store.Store { return &past{s: s, at: at} }

// past is a store as it was.
type past struct {
	s  *Store
	at time.Time

	mu    sync.Mutex // guards what follows
	files map[string]store.Version
}

// load returns the versions that the store showed.
func (p *past) load(ctx context.Context) (map[string]store.Version, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.files != nil {
		return p.files, nil
	}
	files := map[string]store.Version{}
	err := p.s.Versions(ctx, "", func(name string, v store.Version) error {
		if v.Time.After(p.at) {
			return nil
		}
		// Of versions of the same second the first that is listed is the later one.
		if known, ok := files[name]; !ok || v.Time.After(known.Time) {
			files[name] = v
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for name, v := range files {
		if v.Removed {
			delete(files, name)
		}
	}
	p.files = files
	return files, nil
}

func (p *past) find(ctx context.Context, name string) (store.Version, error) {
	files, err := p.load(ctx)
	if err != nil {
		return store.Version{}, err
	}
	v, ok := files[name]
	if !ok {
		return v, fs.ErrNotExist
	}
	return v, nil
}

// Create implements store.Store: nothing can be written to the past.
func (p *past) Create(_ context.Context, name string, _ io.Reader, _ int64) error {
	return p.s.wrap("create", name, errPast)
}

// Remove implements store.Store.
func (p *past) Remove(_ context.Context, name string) error { return p.s.wrap("remove", name, errPast) }

var errPast = fmt.Errorf("%w: this is the store as it was, which cannot be changed", fs.ErrPermission)

// ReadAt implements store.Store.
func (p *past) ReadAt(ctx context.Context, name string, b []byte, off int64) (int, error) {
	if err := p.s.checkName(ctx, name); err != nil {
		return 0, p.s.wrap("read", name, err)
	}
	v, err := p.find(ctx, name)
	if err == nil && off < 0 {
		err = fmt.Errorf("negative offset %d: %w", off, fs.ErrInvalid)
	}
	n := 0
	if err == nil && len(b) > 0 {
		n, err = p.s.readRanges(ctx, object{p.s.location.key(name), v.ID}, b, off)
	}
	return n, p.s.wrap("read", name, err)
}

// List implements store.Store.
func (p *past) List(ctx context.Context, prefix string, fn func(name string, size int64, modTime time.Time) error) error {
	if err := p.s.check(ctx); err != nil {
		return p.s.wrap("list", prefix, err)
	}
	files, err := p.load(ctx)
	if err != nil {
		return p.s.wrap("list", prefix, err)
	}
	for name, v := range files {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if ctx.Err() != nil {
			return p.s.wrap("list", prefix, context.Cause(ctx))
		}
		if err := fn(name, v.Size, v.Time); err != nil {
			return err
		}
	}
	return nil
}

// Stat implements store.Store.
func (p *past) Stat(ctx context.Context, name string) (int64, time.Time, error) {
	err := p.s.checkName(ctx, name)
	var v store.Version
	if err == nil {
		v, err = p.find(ctx, name)
	}
	return v.Size, v.Time, p.s.wrap("stat", name, err)
}

// Close implements store.Store.
func (p *past) Close() error { return p.s.Close() }

// Remote says that a listing takes long.
func (p *past) Remote() bool { return true }
