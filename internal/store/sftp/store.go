package sftp

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/snapkeep/snap/internal/durable"
	"github.com/snapkeep/snap/internal/sshconn"
	"github.com/snapkeep/snap/internal/store"
	"github.com/snapkeep/snap/internal/store/spool"
)

// ErrHostKey says that a server's key is not the known one, or that none is
// known.
var ErrHostKey = sshconn.ErrHostKey

// SSHOptions say how to connect.
type SSHOptions = sshconn.Options

// ParseCommand splits an external command at blanks. A word may be quoted by "
// or ', and nothing else has a meaning: no shell is involved.
func ParseCommand(line string) ([]string, error) { return sshconn.SplitWords(line) }

// Options are choices for Open and Create. The zero value is the default; none
// changes what is stored.
type Options struct {
	// SSH says how to connect.
	SSH SSHOptions
	// Connections is how many connections there may be at once. Default 4, or
	// 1 with an external command, which may have to ask a person.
	Connections int
	// Timeout is how long a server that was asked may be silent before the
	// connection is given up. Default 2 min: a sync may take its time.
	Timeout time.Duration
	// RetryFor is how long an operation is tried over new connections while
	// it gets no further. Default 15 min.
	RetryFor time.Duration
	// MemoryBytes bounds the memory for files on their way to the server; what
	// is more goes to files in SpoolDir. Default 64 MiB.
	MemoryBytes int64
	// SpoolDir is a folder for temporary files. Default the system's.
	SpoolDir string
}

func (o Options) withDefaults() Options {
	if o.Connections <= 0 {
		o.Connections = 4
		if len(o.SSH.Command) > 0 {
			o.Connections = 1
		}
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Minute
	}
	if o.RetryFor <= 0 {
		o.RetryFor = 15 * time.Minute
	}
	if o.MemoryBytes <= 0 {
		o.MemoryBytes = 64 << 20
	}
	return o
}

// Store is a store in a folder of a server. It implements store.Store and
// store.Spooler and is safe for concurrent use.
type Store struct {
	location Location
	opts     Options
	pool     *pool
	spools   *spool.Pool

	// What was learnt of the server.
	keepsTemp  atomic.Bool // files cannot be removed, hence temporary ones are renamed
	keepsNames atomic.Bool // nor that, hence they are linked all the same
	syncsDirs  atomic.Bool // folders can be synced
	lacksDirs  atomic.Bool // or cannot
	foldersMu  sync.Mutex
	folders    map[string]bool // known to be durable; guarded by foldersMu
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Spooler = (*Store)(nil)
)

// Open opens the store in an existing folder and writes nothing. The error is
// fs.ErrNotExist if there is no such folder. Connecting is tried once.
func Open(ctx context.Context, location Location, opts Options) (*Store, error) {
	return start(ctx, "open store", location, opts, (*Store).checkFolder)
}

// Create makes the folder, with those missing above it, and opens the store in
// it. A folder that exists has to be empty, but for a lost+found and the tmp
// of an earlier attempt; the error of one that is not is both
// syscall.ENOTEMPTY and fs.ErrExist.
func Create(ctx context.Context, location Location, opts Options) (*Store, error) {
	return start(ctx, "create store", location, opts, (*Store).prepareFolder)
}

func start(ctx context.Context, op string, location Location, opts Options, prepare func(*Store, *conn) error) (*Store, error) {
	opts = opts.withDefaults()
	dialer, err := sshconn.New(location.Address, opts.SSH)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: location.String(), Err: err}
	}
	s := &Store{location: location, opts: opts, folders: make(map[string]bool), spools: spool.NewPool(opts.MemoryBytes, opts.SpoolDir)}
	s.pool = newPool(opts.Connections, func(ctx context.Context) (*conn, error) { return dial(ctx, dialer, opts.Timeout) })
	c, err := s.pool.acquire(ctx, smallWeight)
	if err == nil {
		err = c.run(ctx, func() error { return prepare(s, c) })
		s.pool.release(c, smallWeight)
	}
	if err != nil {
		return nil, errors.Join(&fs.PathError{Op: op, Path: location.String(), Err: err}, s.Close())
	}
	return s, nil
}

func (s *Store) checkFolder(c *conn) error {
	info, err := c.sftp.Stat(s.location.Path)
	if err == nil && !info.IsDir() {
		err = syscall.ENOTDIR
	}
	return err
}

func (s *Store) prepareFolder(c *conn) error {
	if err := s.makeFolder(c, s.location.Path); err != nil {
		return err
	}
	entries, err := c.sftp.ReadDir(s.location.Path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if name := entry.Name(); name != "lost+found" && name != durable.TempName {
			return folderTaken{}
		}
	}
	return nil
}

// folderTaken is the error for a folder that is not empty.
type folderTaken struct{}

func (folderTaken) Error() string { return syscall.ENOTEMPTY.Error() }

func (folderTaken) Is(target error) bool { return target == syscall.ENOTEMPTY || target == fs.ErrExist }

// Close implements store.Store. It may be called again.
func (s *Store) Close() error {
	s.pool.close()
	return nil
}

// path returns where a file is on the server.
func (s *Store) path(name string) string { return path.Join(s.location.Path, name) }

func (s *Store) checkName(ctx context.Context, name string) error {
	return store.CheckFree(ctx, name, durable.TempName)
}

// wrap adds the operation and the file to an error.
func (s *Store) wrap(op, name string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if inner, ok := err.(*fs.PathError); ok {
		err = inner.Err
	}
	place := s.location.String()
	if name != "" {
		place += "/" + name
	}
	return &fs.PathError{Op: op, Path: place, Err: err}
}

// Remote says that a listing takes long.
func (s *Store) Remote() bool { return true }
