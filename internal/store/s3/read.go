package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
)

// rangesAtOnce is how many ranges of one call are read at a time.
const rangesAtOnce = 4

// ReadAt implements store.Store. A large range is read in several at once.
func (s *Store) ReadAt(ctx context.Context, name string, p []byte, off int64) (n int, err error) {
	if err := s.checkName(ctx, name); err != nil {
		return 0, s.wrap("read", name, err)
	}
	if off < 0 {
		return 0, s.wrap("read", name, fmt.Errorf("negative offset %d: %w", off, fs.ErrInvalid))
	}
	if len(p) == 0 {
		_, _, err := s.Stat(ctx, name)
		return 0, err
	}
	n, err = s.readRanges(ctx, object{key: s.location.key(name)}, p, off)
	return n, s.wrap("read", name, err)
}

// object is an object, or a version of one.
type object struct{ key, version string }

// readRanges reads p in ranges, of which the first that is short ends it.
func (s *Store) readRanges(ctx context.Context, from object, p []byte, off int64) (int, error) {
	step := int(min(s.opts.RangeBytes, int64(len(p))))
	type result struct {
		n   int
		err error
	}
	results := make([]result, (len(p)+step-1)/step)
	var group errgroup.Group
	group.SetLimit(rangesAtOnce)
	for i := range results {
		group.Go(func() error {
			r := &results[i]
			r.n, r.err = s.readRange(ctx, from, p[i*step:min((i+1)*step, len(p))], off+int64(i)*int64(step))
			return nil
		})
	}
	_ = group.Wait() // the results have the errors
	n := 0
	for _, r := range results {
		n += r.n
		if r.err != nil {
			return n, r.err
		}
	}
	return n, nil
}

// readRange reads one range. What came of it before a failure is kept.
func (s *Store) readRange(ctx context.Context, from object, p []byte, off int64) (n int, err error) {
	end := false
	err = s.do(ctx, func(t *try) error {
		m, atEnd, err := s.readOnce(ctx, from, p[n:], off+int64(n))
		n += m
		t.progress, end = m > 0, atEnd
		return err
	})
	if err == nil && end {
		err = io.EOF
	}
	return n, err
}

// readOnce makes one request. It reports whether the object ends before p does.
func (s *Store) readOnce(ctx context.Context, from object, p []byte, off int64) (n int, end bool, err error) {
	opts := minio.GetObjectOptions{VersionID: from.version}
	if err := opts.SetRange(off, off+int64(len(p))-1); err != nil {
		return 0, false, permanentError{err}
	}
	body, info, header, err := s.client.GetObject(ctx, s.location.Bucket, from.key, opts)
	if status(err) == http.StatusRequestedRangeNotSatisfiable {
		return 0, true, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer body.Close()
	length := info.Size
	switch from, ok := rangeStart(header.Get("Content-Range")); {
	case ok && from != off:
		return 0, false, fmt.Errorf("asked for bytes from %d on, got those from %d on", off, from)
	case !ok && off > 0:
		return 0, false, permanentError{errors.New("the server gives no ranges")}
	case length < 0:
		return 0, false, errors.New("an answer without length")
	}
	want := min(int64(len(p)), length)
	n, err = io.ReadFull(body, p[:want])
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
		if want == 0 {
			err = nil
		}
	}
	return n, err == nil && want < int64(len(p)), err
}

// rangeStart returns the first offset of "bytes 5-9/10".
func rangeStart(contentRange string) (int64, bool) {
	rest, ok := strings.CutPrefix(contentRange, "bytes ")
	if !ok {
		return 0, false
	}
	first, _, ok := strings.Cut(rest, "-")
	if !ok {
		return 0, false
	}
	off, err := strconv.ParseInt(first, 10, 64)
	return off, err == nil
}

// Stat implements store.Store.
func (s *Store) Stat(ctx context.Context, name string) (size int64, modTime time.Time, err error) {
	err = s.checkName(ctx, name)
	var info minio.ObjectInfo
	if err == nil {
		err = s.do(ctx, func(*try) error {
			info, err = s.client.StatObject(ctx, s.location.Bucket, s.location.key(name), minio.StatObjectOptions{})
			return err
		})
	}
	if err != nil {
		return 0, time.Time{}, s.wrap("stat", name, err)
	}
	return info.Size, info.LastModified, nil
}

// Remove implements store.Store. S3 does not say whether there was an object,
// hence the look at it before.
func (s *Store) Remove(ctx context.Context, name string) error {
	_, _, err := s.Stat(ctx, name)
	if err != nil {
		var inner *fs.PathError
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return s.wrap("remove", name, err)
	}
	err = s.do(ctx, func(*try) error {
		return s.client.RemoveObject(ctx, s.location.Bucket, s.location.key(name), minio.RemoveObjectOptions{})
	})
	return s.wrap("remove", name, err)
}

// bulk is how many objects a request removes, the limit of S3.
const bulk = 1000

// DeleteAll removes files without a look whether they are there, many in one request, and returns those that are gone. What a request for many leaves, if
// the server knows such requests at all, is removed one by one.
func (s *Store) DeleteAll(ctx context.Context, names []string) (gone []string, err error) {
	for part := range slices.Chunk(names, bulk) {
		for _, name := range part {
			if err := s.checkName(ctx, name); err != nil {
				return gone, s.wrap("remove", name, err)
			}
		}
		removed := s.deleteMany(ctx, part)
		for _, name := range part {
			is := removed[s.location.key(name)]
			if !is && err == nil {
				err = s.Delete(ctx, name)
				is = err == nil
			}
			if is {
				gone = append(gone, name)
			}
		}
		if err != nil {
			return gone, err
		}
	}
	return gone, nil
}

// deleteMany makes one request, and returns the objects that are gone.
func (s *Store) deleteMany(ctx context.Context, names []string) map[string]bool {
	removed := map[string]bool{}
	if len(names) < 2 {
		return removed
	}
	objects := make(chan minio.ObjectInfo, len(names))
	for _, name := range names {
		objects <- minio.ObjectInfo{Key: s.location.key(name)}
	}
	close(objects)
	_ = s.limited(ctx, func() error { // whatever fails is tried again
		for r := range s.client.RemoveObjectsWithResult(ctx, s.location.Bucket, objects, minio.RemoveObjectsOptions{}) {
			if r.Err == nil {
				removed[r.ObjectName] = true
			}
		}
		return nil
	})
	return removed
}

// Delete removes a file, or what would be one of that name: it asks for nothing before, and does not tell whether there was one.
func (s *Store) Delete(ctx context.Context, name string) error {
	err := s.checkName(ctx, name)
	if err == nil {
		err = s.do(ctx, func(*try) error {
			return s.client.RemoveObject(ctx, s.location.Bucket, s.location.key(name), minio.RemoveObjectOptions{})
		})
	}
	return s.wrap("remove", name, err)
}
