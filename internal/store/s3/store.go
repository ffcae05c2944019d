package s3

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
	"github.com/snapkeep/snap/internal/store"
	"github.com/snapkeep/snap/internal/store/spool"
)

// Options are choices for Open and Create. The zero value is the default.
type Options struct {
	// StorageClass is that of packs of data, which are the names that begin
	// with "data/". All else is small and read often, and is put in the default
	// class of the bucket. Default that of the bucket for packs, too.
	StorageClass string
	// Region is that of the bucket. Default AWS_REGION, AWS_DEFAULT_REGION, or
	// what the server says.
	Region string
	// Credentials replace those that are looked for.
	Credentials *credentials.Credentials
	// Connections is how many requests there may be at once. Default 16.
	Connections int
	// PartBytes is the size of the parts in which larger objects are put, 5 MiB
	// at least. Default 64 MiB.
	PartBytes int64
	// RangeBytes is the size of the ranges in which more is read. Default 20 MiB.
	RangeBytes int64
	// ListPage is how many names a request lists. Default and maximum 1,000.
	ListPage int
	// Timeout is how long nothing may move on a connection. Default 2 min.
	Timeout time.Duration
	// RetryFor is how long a request is made again. Default 15 min.
	RetryFor time.Duration
	// MemoryBytes bounds the memory for files on their way to the server; what
	// is more goes to files in SpoolDir. Default 64 MiB.
	MemoryBytes int64
	// SpoolDir is a folder for temporary files. Default the system's.
	SpoolDir string
	// Unique reports whether nobody puts anything else under a name: it holds a hash of the file, or is random. Such a name
	// is not looked at before the put on a server that is not known to heed conditions. Default no name.
	Unique func(name string) bool
	// ObjectLock lets a bucket that Create makes have Object Lock, and keep
	// versions.
	ObjectLock bool
	// Wrap changes how requests are made, to count them for instance.
	Wrap func(http.RoundTripper) http.RoundTripper
}

const minPartBytes = 5 << 20

func (o Options) withDefaults() Options {
	set := func(value *int64, normal, least int64) {
		if *value <= 0 {
			*value = normal
		}
		*value = max(*value, least)
	}
	set(&o.PartBytes, 64<<20, minPartBytes)
	set(&o.RangeBytes, 20<<20, 1)
	set(&o.MemoryBytes, 64<<20, 0)
	set((*int64)(&o.Timeout), int64(2*time.Minute), 0)
	set((*int64)(&o.RetryFor), int64(15*time.Minute), 0)
	if o.Connections <= 0 {
		o.Connections = 16
	}
	if o.ListPage <= 0 || o.ListPage > 1000 {
		o.ListPage = 1000
	}
	if o.Unique == nil {
		o.Unique = func(string) bool { return false }
	}
	if o.Region == "" {
		o.Region = os.Getenv("AWS_REGION")
	}
	if o.Region == "" {
		o.Region = os.Getenv("AWS_DEFAULT_REGION")
	}
	return o
}

// Store is a store in a bucket. It implements store.Store and store.Spooler and
// is safe for concurrent use.
type Store struct {
	location Location
	opts     Options
	client   minio.Core
	http     *http.Transport
	spools   *spool.Pool
	requests chan struct{} // one element for each that is under way

	// What was learnt of the server.
	heeds  atomic.Bool // conditions of requests
	lacks  atomic.Bool // them, and says so
	asked  atomic.Bool // whether it heeds conditions
	closed atomic.Bool
	latest *atomic.Int64 // time that an answer told, in seconds

	unsorted atomic.Bool // its listings

	lock atomic.Pointer[newLock]
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Spooler = (*Store)(nil)
)

// Open opens a store and makes no request: whether the bucket is there shows in
// the first operation.
func Open(ctx context.Context, location Location, opts Options) (*Store, error) {
	s, err := newStore(ctx, location, opts.withDefaults())
	if err != nil {
		return nil, &fs.PathError{Op: "open store", Path: location.String(), Err: err}
	}
	return s, nil
}

// Create makes the bucket if there is none and opens the store in it. The
// prefix has to have no objects; the error if it has is both syscall.ENOTEMPTY
// and fs.ErrExist.
func Create(ctx context.Context, location Location, opts Options) (*Store, error) {
	s, err := newStore(ctx, location, opts.withDefaults())
	if err == nil {
		if err = s.prepare(ctx); err != nil {
			s.Close()
		}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "create store", Path: location.String(), Err: err}
	}
	return s, nil
}

func newStore(ctx context.Context, location Location, opts Options) (*Store, error) {
	if err := location.check(); err != nil {
		return nil, err
	}
	if opts.Credentials == nil {
		found, err := findCredentials(ctx)
		if err != nil {
			return nil, err
		}
		opts.Credentials = found
	}
	transport, err := newTransport(!location.Plain, opts)
	if err != nil {
		return nil, err
	}
	var trip http.RoundTripper = transport
	if opts.Wrap != nil {
		trip = opts.Wrap(trip)
	}
	latest := new(atomic.Int64)
	client, err := minio.NewCore(location.Host, &minio.Options{
		Creds: opts.Credentials, Secure: !location.Plain, Transport: dated{trip, latest}, Region: opts.Region, MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %v", fs.ErrInvalid, err)
	}
	client.SetAppInfo("snap", "1")
	s := &Store{
		location: location, opts: opts, client: *client, http: transport, latest: latest,
		spools: spool.NewPool(opts.MemoryBytes, opts.SpoolDir), requests: make(chan struct{}, opts.Connections),
	}
	s.heeds.Store(s3utils.IsAmazonEndpoint(*client.EndpointURL()))
	return s, nil
}

// prepare makes the bucket and checks that nothing is in it.
func (s *Store) prepare(ctx context.Context) error {
	err := s.do(ctx, func(*try) error {
		there, err := s.client.BucketExists(ctx, s.location.Bucket)
		if err != nil || there {
			return err
		}
		return s.client.MakeBucket(ctx, s.location.Bucket, minio.MakeBucketOptions{Region: s.opts.Region, ObjectLocking: s.opts.ObjectLock})
	})
	if err != nil {
		return err
	}
	return s.list(ctx, "", "", 1, func(string, int64, time.Time) error { return notEmpty{} })
}

// notEmpty is the error for a prefix that has objects.
type notEmpty struct{}

func (notEmpty) Error() string { return syscall.ENOTEMPTY.Error() }

func (notEmpty) Is(target error) bool { return target == syscall.ENOTEMPTY || target == fs.ErrExist }

// Close implements store.Store. It may be called again.
func (s *Store) Close() error {
	s.closed.Store(true)
	s.http.CloseIdleConnections()
	return nil
}

// checkName is the start of each method that takes a name.
func (s *Store) checkName(ctx context.Context, name string) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	return store.CheckName(name)
}

func (s *Store) check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if s.closed.Load() {
		return fs.ErrClosed
	}
	return nil
}

// wrap adds the operation and the file to an error.
func (s *Store) wrap(op, name string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	place := s.location.String()
	if name != "" {
		place += "/" + name
	}
	return &fs.PathError{Op: op, Path: place, Err: err}
}

// Remote says that a listing takes long.
func (s *Store) Remote() bool { return true }
