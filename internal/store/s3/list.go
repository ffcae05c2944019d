package s3

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string, fn func(name string, size int64, modTime time.Time) error) error {
	return s.listAfter(ctx, prefix, "", fn)
}

func (s *Store) listAfter(ctx context.Context, prefix, after string, fn func(name string, size int64, modTime time.Time) error) error {
	var stopped error
	err := s.check(ctx)
	if err == nil {
		err = s.list(ctx, prefix, after, s.opts.ListPage, func(name string, size int64, modTime time.Time) error {
			if stopped = context.Cause(ctx); stopped == nil {
				stopped = fn(name, size, modTime)
			}
			return stopped
		})
	}
	if stopped != nil && ctx.Err() == nil {
		return stopped
	}
	return s.wrap("list", prefix, err)
}

// list lists page by page what comes behind the key after, which may be empty. After a failure it goes on behind the last name that
// came: names come in order, and a server that has another one must not fail.
func (s *Store) list(ctx context.Context, prefix, after string, page int, fn func(name string, size int64, modTime time.Time) error) error {
	opts := minio.ListObjectsOptions{Prefix: s.location.key(prefix), Recursive: true, MaxKeys: page, StartAfter: after}
	var stopped error
	sorted := true
	err := s.do(ctx, func(t *try) error {
		for object := range s.client.ListObjectsIter(ctx, s.location.Bucket, opts) {
			if object.Err != nil && !sorted {
				return permanentError{errors.Join(errors.New("a listing that is not sorted was cut off"), object.Err)}
			}
			if object.Err != nil {
				return object.Err
			}
			sorted = sorted && object.Key > opts.StartAfter
			opts.StartAfter, t.progress = object.Key, true
			name, ok := s.location.name(object.Key)
			if !ok {
				continue
			}
			if stopped = fn(name, object.Size, object.LastModified); stopped != nil {
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

// ListEach calls fn for each file whose name begins with one of the prefixes, which end in a slash. What stands between two folders is listed as
// well if it fits into the same request: so it makes one request if all is in a page, and
// otherwise at most one more for each folder than List would for one after the other. Folders are listed in the order of their names, whatever the order of the prefixes.
//
// Folders in along are listed if that costs no request more; it returns which of them were. fn may be called for some files of others.
func (s *Store) ListEach(ctx context.Context, prefixes, along []string, fn func(name string, size int64, modTime time.Time) error) (came []string, err error) {
	prefixes = slices.Sorted(slices.Values(prefixes))
	var after string
	var seen span
	for len(prefixes) > 1 && !s.unsorted.Load() {
		if err := s.check(ctx); err != nil {
			return nil, s.wrap("list", prefixes[0], err)
		}
		from := max(after, s.location.key(prefixes[0]))
		page, err := s.listPage(ctx, from)
		if errors.Is(err, errUnsorted) && after == "" {
			break
		}
		if err != nil {
			return nil, s.wrap("list", prefixes[0], err)
		}
		seen.page(from, after, page, s.opts.ListPage)
		for _, object := range page {
			name, ok := s.location.name(object.Key)
			for len(prefixes) > 0 && name > prefixes[0] && !strings.HasPrefix(name, prefixes[0]) {
				prefixes = prefixes[1:]
			}
			within := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
			if !ok || !(len(prefixes) > 0 && within(prefixes[0]) || slices.ContainsFunc(along, within)) {
				continue
			}
			if err := fn(name, object.Size, object.LastModified); err != nil {
				return nil, err
			}
		}
		if len(page) < s.opts.ListPage {
			return seen.whole(s.location, along), nil
		}
		after = page[len(page)-1].Key
	}
	for _, prefix := range prefixes {
		if err := s.listAfter(ctx, prefix, after, fn); err != nil {
			return nil, err
		}
	}
	return seen.whole(s.location, along), nil
}

// span is what pages have shown of a bucket without a gap: the keys behind from, to the last one that was seen.
type span struct {
	from, to string
	end      bool // there are none behind
	parts    []span
}

// page takes in a page of what comes behind the key from. before is the last key of the page before.
func (s *span) page(from, before string, page []minio.ObjectInfo, size int) {
	if s.to != before || from != before {
		s.parts = append(s.parts, *s)
		s.from = from
	}
	s.to, s.end = from, len(page) < size
	if len(page) > 0 {
		s.to = page[len(page)-1].Key
	}
}

// whole returns the folders of which everything was seen.
func (s *span) whole(at Location, folders []string) (out []string) {
	for _, folder := range folders {
		begin := at.key(folder)
		end := begin[:len(begin)-1] + string(begin[len(begin)-1]+1)
		if slices.ContainsFunc(append(s.parts, *s), func(p span) bool { return p.from <= begin && (p.end || p.to >= end) }) {
			out = append(out, folder)
		}
	}
	return out
}

// errUnsorted is the error for a listing that is not in the order of names.
var errUnsorted = permanentError{errors.New("the server does not list in the order of names")}

// listPage returns the objects of one page behind a name.
func (s *Store) listPage(ctx context.Context, after string) (page []minio.ObjectInfo, err error) {
	opts := minio.ListObjectsOptions{Prefix: s.location.key(""), Recursive: true, MaxKeys: s.opts.ListPage, StartAfter: after}
	err = s.do(ctx, func(*try) error {
		page = page[:0]
		for object := range s.client.ListObjectsIter(ctx, s.location.Bucket, opts) {
			if object.Err != nil {
				return object.Err
			}
			if last := len(page) - 1; object.Key <= after || last >= 0 && object.Key <= page[last].Key {
				s.unsorted.Store(true)
				return errUnsorted
			}
			if page = append(page, object); len(page) == s.opts.ListPage {
				break
			}
		}
		return context.Cause(ctx)
	})
	return page, err
}
