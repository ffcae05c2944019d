package s3

import (
	"context"
	"errors"
	"time"

	"github.com/minio/minio-go/v7"
)

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string, fn func(name string, size int64, modTime time.Time) error) error {
	var stopped error
	err := s.check(ctx)
	if err == nil {
		err = s.list(ctx, prefix, s.opts.ListPage, func(name string, size int64, modTime time.Time) error {
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

// list lists page by page. After a failure it goes on behind the last name that
// came: names come in order, and a server that has another one must not fail.
func (s *Store) list(ctx context.Context, prefix string, page int, fn func(name string, size int64, modTime time.Time) error) error {
	opts := minio.ListObjectsOptions{Prefix: s.location.key(prefix), Recursive: true, MaxKeys: page}
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
