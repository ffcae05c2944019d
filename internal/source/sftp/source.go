package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snapkeep/snap/internal/filter"
	"github.com/snapkeep/snap/internal/source"
)

// Dial connects to the SFTP server.
type Dial func(ctx context.Context) (io.ReadWriteCloser, error)

// Options say what is read. Roots are required.
type Options struct {
	Roots             []string       // absolute paths, in their shortest form
	Exclude           []*filter.List // by absolute path
	ExcludeIfPresent  []string       // leave out folders with a file "name", or one that begins as "name:header" says
	ExcludeCaches     bool           // leave out folders marked by CACHEDIR.TAG
	ExcludeLargerThan int64          // bytes; 0 means no limit
	// OneFileSystem leaves folders empty that lie on other file systems than the roots. Servers without
	// statvfs@openssh.com make it an ErrUnsupported.
	OneFileSystem bool
	// AllowMissing goes on without roots that do not exist, as long as there is one: Missing tells which.
	AllowMissing bool

	Limits Limits
	// Redials is how often in a row a lost connection is made again without coming any further; 0 means 8, negative never.
	Redials int
	// Backoff is how long the first redial waits; each one after it waits twice as long. 0 means 1 s.
	Backoff time.Duration
	Logger  *slog.Logger // nil means nobody
}

// Limits bound what a source may send. A field that is 0 means its default.
type Limits struct {
	Entries   int64         // of all folders; default 200 million
	Directory int           // entries of one folder; default 1 million
	Depth     int           // folders within folders; default 1,000
	Bytes     int64         // of file data; default 64 TiB
	Idle      time.Duration // without a byte, while answers are due; default 60 s
	Stall     time.Duration // without a whole answer, while one is due; default 10 min
}

const maxPath = 16 << 10 // bytes of a path below which something is read; OpenSSH takes 4,096

func (l Limits) withDefaults() Limits {
	set(&l.Entries, 200_000_000)
	set(&l.Directory, 1_000_000)
	set(&l.Depth, 1_000)
	set(&l.Bytes, 64<<40)
	set(&l.Idle, time.Minute)
	set(&l.Stall, 10*time.Minute)
	return l
}

func set[T int | int64 | time.Duration](v *T, otherwise T) {
	if *v == 0 {
		*v = otherwise
	}
}

// unknownClock is how far the clock of a server may be off that does not show it.
const unknownClock = 2 * time.Minute

// Source is what lies on a machine, read through its SFTP server. It serves one backup.
type Source struct {
	o       Options
	limits  Limits
	lists   []*filter.List
	markers []source.Marker
	log     *slog.Logger

	ctx    context.Context // of the goroutines, ended by Close
	cancel context.CancelCauseFunc
	group  sync.WaitGroup

	link    *link
	look    *lookout
	files   *fetcher
	owners  *owners
	top     *node
	systems map[uint64]bool // file systems to stay on, set by Root; nil for all

	in, outBytes     atomic.Int64 // bytes on all connections
	entries, fetched atomic.Int64 // that came
	open             atomic.Int64 // entries of folders that are open
	canOpen          atomic.Int64 // handles that the server has, 0 while that is unknown
	linked           atomic.Int64 // files that have other links

	mu      sync.Mutex // guards what follows
	skew    time.Duration
	clock   bool // skew is known
	missing []string
}

// New returns a source. It connects when it is first used. Close ends it.
func New(dial Dial, o Options) (*Source, error) {
	s := &Source{o: o, limits: o.Limits.withDefaults(), log: o.Logger, top: &node{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for _, l := range o.Exclude {
		if !l.Empty() {
			s.lists = append(s.lists, l)
		}
	}
	var err error
	if s.markers, err = source.Markers(o.ExcludeCaches, o.ExcludeIfPresent); err != nil {
		return nil, err
	}
	for _, root := range o.Roots {
		if !path.IsAbs(root) || path.Clean(root) != root || strings.Contains(root, "\x00") {
			return nil, fmt.Errorf("root %q: it has to be absolute and in its shortest form", root)
		}
	}
	if len(o.Roots) == 0 {
		return nil, errors.New("nothing to back up: no root")
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.link = &link{s: s, dial: dial, turn: make(chan struct{}, 1), alone: make(chan struct{}, 1)}
	s.look = &lookout{s: s, known: map[string]*listing{}}
	s.files = &fetcher{s: s, files: map[string]*fetch{}}
	s.owners = &owners{users: map[uint32]string{}, groups: map[uint32]string{}}
	return s, nil
}

// Connect connects, unless that was done. The error is that of the dial, or one of this package.
func (s *Source) Connect(ctx context.Context) error {
	return s.do(ctx, func(context.Context, *client, bool) error { return nil })
}

// Inform implements source.Informed: connected, the source knows the time there. It needs nothing of the past.
func (s *Source) Inform(ctx context.Context, _ source.Past) error { return s.Connect(ctx) }

// Now implements source.Clocked: the time by the clock of the machine, as far as it shows; else a time that is so early
// that no clock which is nearly right is behind it.
func (s *Source) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.clock {
		return time.Now().Add(-unknownClock)
	}
	return time.Now().Add(s.skew)
}

// readClock asks for the time. SFTP has none, but where there is /proc, the folder of the server's process is as old as
// the connection.
func (s *Source) readClock(ctx context.Context, c *client) error {
	a, err := c.start(pathRequest(fxpStat, "/proc/self"), nil).attrs(ctx)
	var refused *statusError
	if errors.As(err, &refused) || err == nil && a.flags&hasTimes == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.clock {
		s.clock, s.skew = true, time.Until(time.Unix(int64(a.time), 0))
	}
	return nil
}

// Root implements source.Source. The error satisfies errors.Is(err, source.ErrRootMissing) if something that was asked
// for does not exist.
func (s *Source) Root(ctx context.Context) (source.Dir, error) {
	stop := context.AfterFunc(ctx, func() { s.broken(context.Cause(ctx)) })
	s.group.Go(func() {
		<-s.ctx.Done()
		stop()
	})
	if s.o.OneFileSystem {
		s.systems = map[uint64]bool{}
	}
	var errs []error
	found := 0
	for _, root := range s.o.Roots {
		err := s.findRoot(ctx, root)
		switch {
		case err == nil:
			found++
		case errors.Is(err, fs.ErrNotExist) && s.o.AllowMissing:
			s.missed(root)
			errs = append(errs, &RootError{root, err})
		case errors.Is(err, source.ErrBroken):
			return nil, err
		default:
			return nil, &RootError{root, err}
		}
	}
	if found == 0 {
		return nil, errors.Join(errs...)
	}
	if !s.top.root && s.top.children == nil {
		return nil, errors.New("nothing to back up: every root is excluded")
	}
	d := &dir{s: s, place: place{path: "/", node: s.top}}
	for _, l := range s.lists {
		d.states = append(d.states, l.Top())
	}
	if s.top.root {
		d.real, d.node = s.top.real, nil
		d.first = s.look.take(d.place)
		if err := d.first.wait(ctx, d.first.opened); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// findRoot looks at a root and at where it lies.
func (s *Source) findRoot(ctx context.Context, root string) error {
	for _, l := range s.lists {
		if matched, _ := l.MatchPath(root); matched {
			return nil
		}
	}
	return s.do(ctx, func(ctx context.Context, c *client, _ bool) error {
		above := c.start(pathRequest(fxpRealpath, path.Dir(root)), nil)
		look := c.start(pathRequest(fxpLstat, root), nil)
		real, err := above.path(ctx)
		if err != nil {
			return err
		}
		if !path.IsAbs(real) || path.Clean(real) != real || len(real) > maxPath {
			return protocolError("the folder of %q is said to be %.200q", root, real)
		}
		if _, err := look.attrs(ctx); err != nil {
			return err
		}
		real = path.Join(real, path.Base(root))
		if s.systems != nil {
			id, err := c.fileSystem(ctx, real)
			if err != nil {
				return err
			}
			s.systems[id] = true
		}
		s.top.add(root, real)
		return nil
	})
}

// RootError says which root could not be looked at. It satisfies errors.Is(err, source.ErrRootMissing) if it does not
// exist.
type RootError struct {
	Path string
	Err  error
}

func (e *RootError) Error() string { return fmt.Sprintf("root %q: %v", e.Path, e.Err) }

// Unwrap returns the reason, and source.ErrRootMissing if the root does not exist.
func (e *RootError) Unwrap() []error {
	if errors.Is(e.Err, fs.ErrNotExist) {
		return []error{source.ErrRootMissing, e.Err}
	}
	return []error{e.Err}
}

func (s *Source) missed(root string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.missing, root) {
		s.missing = append(s.missing, root)
	}
}

// Missing returns the roots that do not exist, when the source was read.
func (s *Source) Missing() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.missing)
}

// Linked returns how many files were listed that have further links. The server does not tell which belong together:
// each is a file of its own in the backup.
func (s *Source) Linked() int64 { return s.linked.Load() }

// Received returns how many bytes have come from the server, and gone to it, on all connections.
func (s *Source) Received() (in, out int64) { return s.in.Load(), s.outBytes.Load() }

// Close ends the connection and waits for what was under way.
func (s *Source) Close() error {
	s.broken(errClosed)
	s.link.close()
	s.group.Wait()
	return nil
}

// broken ends the source with an error that all who wait get.
func (s *Source) broken(err error) {
	s.cancel(err)
	s.link.cut()
}

// handles returns a share of the handles that the server has: one at least.
func (s *Source) handles(share int64) int { return int(max(s.canOpen.Load()/share, 1)) }

// count adds entries and bytes to what has come and returns an ErrLimit if that is too much.
func (s *Source) count(entries, bytes int64) error {
	switch {
	case s.entries.Add(entries) > s.limits.Entries:
		return fmt.Errorf("%w: more than %d entries", ErrLimit, s.limits.Entries)
	case s.fetched.Add(bytes) > s.limits.Bytes:
		return fmt.Errorf("%w: more than %d bytes of data", ErrLimit, s.limits.Bytes)
	}
	return nil
}
