package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/snapkeep/snap/chunker"
	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// Errors of this package, beside those of package source. Both are source.ErrBroken.
var (
	// ErrProtocol says that the agent did what the protocol does not allow.
	ErrProtocol = fmt.Errorf("the agent broke the protocol: %w", source.ErrBroken)
	// ErrLimit says that the agent sent more than the server takes of one source.
	ErrLimit = fmt.Errorf("over a limit for sources: %w", source.ErrBroken)
	// ErrConnection says that the connection was lost and could not be made again.
	ErrConnection = fmt.Errorf("the connection was lost: %w", source.ErrBroken)
)

// Compression says whether the agent compresses what it sends.
type Compression string

// The ways of compression.
const (
	CompressAuto Compression = ""    // if the round trip takes more than a millisecond, or snapshots of the source are there already
	CompressOn   Compression = "on"  // always
	CompressOff  Compression = "off" // never
)

// Dial connects to the agent.
type Dial func(ctx context.Context) (io.ReadWriteCloser, error)

// Options say what is read. Roots or Devices are required for a backup of files.
type Options struct {
	Roots            []string // absolute paths
	Devices          []string // block devices, read as files
	Excludes         []string // patterns as of package filter
	ExcludesFold     []string // the same, whatever the case of letters
	ExcludeIfPresent []string
	ExcludeCaches    bool
	LargerThan       int64 // bytes; 0 means no limit
	OneFileSystem    bool
	NoXattrs         bool
	WithAtime        bool
	// AllowMissing goes on without roots that do not exist, as long as there is one: Missing tells which.
	AllowMissing bool

	// Files and Database are what the agent cuts by: repo.Repo's SourceChunkers.
	Files, Database chunker.Params

	Compress Compression
	Limits   Limits
	// Redials is how often a lost connection is made again; 0 means 8, negative never.
	Redials int
	// Backoff is how long the first redial waits; each one after it waits twice as long. 0 means 1 s.
	Backoff time.Duration
	Logger  *slog.Logger // nil means nobody
}

// Limits bound what a source may send. A field that is 0 means its default.
type Limits struct {
	Entries    int64         // of all directories; default 200 million
	Directory  int           // entries of one directory; default 10 million
	Bytes      int64         // of file data that is sent; default 64 TiB
	XattrBytes int64         // of extended attributes; default 4 GiB
	Memory     int64         // bytes that the listing of a directory takes here, with those of the directories above it; default 256 MiB
	Idle       time.Duration // without any sign of the agent; default 60 s
	Stall      time.Duration // without progress of a question, but for streams; default 10 min
}

func (l Limits) withDefaults() Limits {
	set(&l.Entries, 200_000_000)
	set(&l.Directory, 10_000_000)
	set(&l.Bytes, 64<<40)
	set(&l.XattrBytes, 4<<30)
	set(&l.Memory, 256<<20)
	set(&l.Idle, time.Minute)
	set(&l.Stall, 10*time.Minute)
	return l
}

func set[T int | int64 | time.Duration](v *T, otherwise T) {
	if *v == 0 {
		*v = otherwise
	}
}

// Source is what lies on a machine, read through its agent. It serves one backup.
type Source struct {
	o      Options
	limits Limits
	dial   Dial
	log    *slog.Logger
	roots  []string // with devices, as paths of the tree

	ctx    context.Context // of the goroutines, ended by Close
	cancel context.CancelCauseFunc
	group  sync.WaitGroup

	link  *link
	past  source.Past
	look  *lookout
	files *fetcher

	mu      sync.Mutex // guards what follows
	greeted *protocol.HelloAnswer
	skew    time.Duration // of the agent's clock
	missing []string      // roots
	counts  counts
}

// counts is what has come of the source.
type counts struct {
	entries, bytes, xattrs int64
}

// New returns a source. It connects when it is first used. Close ends it.
func New(dial Dial, o Options) *Source {
	s := &Source{o: o, dial: dial, limits: o.Limits.withDefaults(), log: o.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for _, r := range slices.Concat(o.Roots, o.Devices) {
		s.roots = append(s.roots, strings.TrimPrefix(path.Clean(r), "/"))
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.link = newLink(s)
	s.files = newFetcher(s)
	return s
}

// Connect connects, unless that was done, and returns what the agent says of itself. The error is that of the dial, or
// one of this package.
func (s *Source) Connect(ctx context.Context) (*protocol.HelloAnswer, error) {
	if err := s.link.open(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.greeted, nil
}

// Inform implements source.Informed.
func (s *Source) Inform(ctx context.Context, past source.Past) error {
	s.past = past
	_, err := s.Connect(ctx)
	return err
}

// Now implements source.Clocked: the time by the clock of the agent.
func (s *Source) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.skew)
}

// Root implements source.Source. The error satisfies errors.Is(err, source.ErrRootMissing) if something that was asked
// for does not exist.
func (s *Source) Root(ctx context.Context) (source.Dir, error) {
	if len(s.o.Roots)+len(s.o.Devices) == 0 {
		return nil, errors.New("agent: no roots")
	}
	if _, err := s.Connect(ctx); err != nil {
		return nil, err
	}
	if err := s.link.begin(ctx); err != nil {
		return nil, err
	}
	look, err := newLookout(ctx, s)
	if err != nil {
		return nil, err
	}
	s.look = look
	look.pump()
	return &dir{s: s, path: ""}, nil
}

// inRoots reports whether a name in a directory belongs to what was asked for: a root, what leads to one, or what lies below.
func (s *Source) inRoots(dir, name string) bool {
	for _, r := range s.roots {
		if dir == r || r == "" || (len(dir) > len(r) && dir[len(r)] == '/' && dir[:len(r)] == r) {
			return true
		}
	}
	below := tree.Join(dir, name)
	return slices.ContainsFunc(s.roots, func(r string) bool { return r == below || strings.HasPrefix(r, below+"/") })
}

// Missing returns the roots that do not exist, when the source was read.
func (s *Source) Missing() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.missing)
}

// missed notes a root that is missing and reports whether the rest is enough.
func (s *Source) missed(root string, err *protocol.Error) bool {
	if !s.o.AllowMissing || err.Code != protocol.CodeRoot {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.missing, root) {
		s.missing = append(s.missing, root)
	}
	return len(s.missing) < len(s.o.Roots)+len(s.o.Devices)
}

// Close ends the connection and waits for what was under way.
func (s *Source) Close() error {
	s.cancel(errClosed)
	s.link.close()
	s.group.Wait()
	return nil
}

var errClosed = fmt.Errorf("closed: %w", source.ErrBroken)

// broken ends the source with an error that all who wait get.
func (s *Source) broken(err error) {
	s.cancel(err)
	s.link.close()
}

// err returns why the source ended, nil if it has not.
func (s *Source) err() error {
	if s.ctx.Err() == nil {
		return nil
	}
	return context.Cause(s.ctx)
}

// count adds to what has come and returns an ErrLimit if that is too much.
func (s *Source) count(entries, bytes, xattrs int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, l := &s.counts, &s.limits
	c.entries, c.bytes, c.xattrs = c.entries+entries, c.bytes+bytes, c.xattrs+xattrs
	switch {
	case c.entries > l.Entries:
		return fmt.Errorf("%w: more than %d entries", ErrLimit, l.Entries)
	case c.bytes > l.Bytes:
		return fmt.Errorf("%w: more than %d bytes of data", ErrLimit, l.Bytes)
	case c.xattrs > l.XattrBytes:
		return fmt.Errorf("%w: more than %d bytes of extended attributes", ErrLimit, l.XattrBytes)
	}
	return nil
}

// Received returns how many bytes have come from the agent, and gone to it, on all connections.
func (s *Source) Received() (in, out int64) { return s.link.in.Load(), s.link.out.Load() }

// wait waits until done is closed, the context ends, or the source does.
func (s *Source) wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	default:
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

func skewOf(clock tree.Time) time.Duration { return time.Until(clock.Std()) }
