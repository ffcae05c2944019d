package repo

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snapkeep/snap/chunker"
	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/record"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/store/cached"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// Options of Create and Open. The zero value means defaults.
type Options struct {
	// CacheDir is a folder for the local copy of the index and of the metadata of stores elsewhere, one folder a
	// repository in it. Empty means that nothing is kept between runs. It may be deleted at any time.
	CacheDir string
	// MetadataCacheBytes bounds what is kept of metadata in CacheDir, in bytes a repository; 0 means 1 GiB, less means nothing. It is
	// kept as it is stored, encrypted.
	MetadataCacheBytes int64
	// Logger is told of what is degraded but correct; nil means nobody.
	Logger *slog.Logger
	// Now is the clock that stamps snapshots; nil means time.Now.
	Now func() time.Time
	// PackSize is the size in bytes at which packs are ended, from 1 MiB to 128 MiB; 0 means 32 MiB.
	PackSize int
	// Compression of file data: off, fastest, default, better or max; empty means default.
	Compression string
	// SkipVerify leaves out opening again what was written, before it counts as written.
	SkipVerify bool
	// Parity says whether packs and small files are protected against damage of the storage. The zero ParityMode
	// is automatic.
	Parity ParityMode
	// CacheBytes bounds the memory for opened segments; 0 means 16 MiB.
	CacheBytes int
	// StateDir is a folder out of the storage's reach in which Remember keeps what was seen, for CheckRollback.
	// Empty means that nothing is kept.
	StateDir string
	// Place says where the repository is, to tell it from copies that may be older.
	Place string
	// OneRun says that the repository is opened for one run that begins at once: the listing that Open makes serves for its first look at
	// the snapshots. Its backups share what is the same for each: what was
	// decoded, a session, a content key, and for a quarter of an hour a listing of all packs.
	OneRun bool
	// WarmUp, if not nil, is called before packs of file data are read in bulk: by Restore, Check, Copy and Replicate from this repository, Prune when it copies, and
	// the method WarmUp.
	WarmUp WarmUpFunc
	// AcceptRollback takes the repository as it is, whatever was seen before.
	AcceptRollback bool
}

// Repo is an open repository.
type Repo struct {
	store    Store
	config   *keyring.Config
	secrets  *keyring.Secrets
	slotName string
	opts     Options
	log      *slog.Logger

	meta    *seal.Key
	content *keyring.ContentKeys
	records *sealed.Records
	keys    chunks.Keys
	cache   *index.Cache
	set     *index.Set // of cache
	uses    uses       // of cache and set
	loader  *chunks.Loader
	heads   heads
	opened  atomic.Pointer[shown] // the listing that Open made, until it has served for the snapshots
	fresh   atomic.Pointer[shown] // the same, until it has served the first backup
	planned atomic.Pointer[planned]
	warmed  warmed

	kept        *cached.Cache   // of metadata, nil for none
	near        Store           // reads what is kept; store if nothing is
	nearRecords *sealed.Records // of near
	nearLoader  *chunks.Loader  // of near

	sound      []string    // files, no copies, that opened the repository
	mayDelete  atomic.Bool // the credentials were seen to allow it
	applied    bool        // the settings were read when the repository was opened
	objectLock *ObjectLock // that the settings ask for, nil for none
	unlocked   error       // why files are stored without the lock that the settings ask for

	cuttersOnce     sync.Once // makes what follows
	files, database *chunker.Cutter
	cuttersErr      error

	buffersOnce sync.Once // makes what follows
	buffers     buffers
	buffersErr  error

	decoded  decodedRecords
	runKey   runKey
	unlisted *unlisted
	renewal  renewal
	parts    partsCheck

	labelMu sync.Mutex // held while a label is made: it builds on the one before

	runningMu sync.Mutex // guards what follows
	running   *sharedSession

	indexMu     sync.Mutex // guards what follows
	indexLoaded bool
	indexDamage []index.Damage           // index files that could not be used
	indexNames  map[pack.ID]bool         // index files that were there at the last sync
	indexFresh  map[pack.ID]bool         // those of them that not everybody need see yet
	indexStored map[pack.ID]time.Time    // when they were stored
	prunes      map[pack.ID]*pruneRecord // all that were ever loaded
	pruneNames  map[pack.ID]bool         // those that were there at the last sync
}

// CreateOptions are the choices that are fixed when a repository is made.
type CreateOptions struct {
	Options
	Role  Role   // of the first key slot; empty means full
	Label string // of the first key slot
	// CutLike is a repository whose chunkers are taken over, with the secret polynomial, so that files are cut in the same
	// places; nil means a polynomial of its own.
	CutLike *Repo
	// Random makes the secrets; nil means crypto/rand.
	Random io.Reader
}

// Create makes a repository in an empty store and a first key slot for the recipient, and
// opens it. The Repo does not close the store.
func Create(ctx context.Context, store Store, to *Recipient, opts CreateOptions) (*Repo, error) {
	if opts.Random == nil {
		opts.Random = rand.Reader
	}
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("create repository: %w", err)
	}
	r := newRepo(store, opts.Options)
	if err := checkEmpty(ctx, store); err != nil {
		return nil, err
	}
	if wantsParity(store, opts.Parity) {
		r.store = withParity(store)
	}
	secrets, err := opts.newSecrets()
	if err != nil {
		return nil, fmt.Errorf("create repository: %w", err)
	}
	config, err := keyring.NewConfig(opts.Random, r.now())
	if err != nil {
		return nil, fmt.Errorf("create repository: %w", err)
	}
	// The slot first: a repository without a key would be of no use, a key without a
	// repository is only a leftover.
	slot, err := keyring.AddSlot(ctx, r.store, config, secrets, to, keyring.SlotOptions{Role: opts.Role, Label: opts.Label, Created: r.now()})
	if err != nil {
		return nil, fmt.Errorf("create repository: %w", err)
	}
	if err := keyring.SaveConfig(ctx, r.store, config); err != nil {
		if errors.Is(err, fs.ErrExist) { // somebody else was faster; this key opens nothing
			err = errors.Join(ErrExists, store.Remove(ctx, slot.Name))
		}
		return nil, fmt.Errorf("create repository: %w", err)
	}
	if err := r.start(config, secrets, slot.Name); err != nil {
		return nil, err
	}
	return r, nil
}

// newSecrets makes the secrets of a repository.
func (o *CreateOptions) newSecrets() (*keyring.Secrets, error) {
	if o.CutLike != nil {
		return keyring.NewSecrets(o.Random, o.CutLike.secrets.Polynomial(), o.CutLike.secrets.Chunkers())
	}
	poly, err := chunker.RandomPolynomial(o.Random)
	if err != nil {
		return nil, err
	}
	return keyring.NewSecrets(o.Random, uint64(poly), map[string]keyring.Chunker{
		keyring.ClassFiles:    chunkerClass(chunker.Files(poly)),
		keyring.ClassDatabase: chunkerClass(chunker.Database(poly)),
	})
}

func chunkerClass(p chunker.Params) keyring.Chunker {
	return keyring.Chunker{Algorithm: int(p.Algorithm), Min: p.MinSize, Max: p.MaxSize, Bits: p.AverageBits}
}

// checkEmpty returns ErrExists if the store holds a repository or parts of one.
func checkEmpty(ctx context.Context, store Store) error {
	if _, _, err := store.Stat(ctx, "snap.json"); err == nil {
		return fmt.Errorf("%w: there is a repository already", ErrExists)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	found := errors.New("found")
	err := store.List(ctx, "", func(name string, _ int64, _ time.Time) error {
		if strings.HasPrefix(strings.TrimPrefix(name, copyPrefix), "keys/") {
			return nil // left by an attempt that was cut off before snap.json
		}
		return found
	})
	if errors.Is(err, found) {
		return ErrExists
	}
	return err
}

// Open opens the repository in a store. The Repo does not close the store.
func Open(ctx context.Context, store Store, credential *Credential, opts Options) (*Repo, error) {
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("open repository: %w", err)
	}
	r := newRepo(store, opts)
	var along []string
	if opts.OneRun {
		along = []string{"data/", "meta/", sealed.Index.Prefix, sealed.Prune.Prefix}
	}
	from, err := listAlong(ctx, store, []string{copyPrefix, keyring.SlotPrefix, settingsPrefix, sealed.Label.Prefix, sealed.Snapshot.Prefix}, along)
	if err != nil {
		return nil, fmt.Errorf("open repository: %w", err)
	}
	protected, err := hasParity(ctx, from, opts.Parity)
	if err != nil {
		return nil, fmt.Errorf("open repository: %w", err)
	}
	if protected {
		r.store = withParity(store)
	}
	config, opened, err := r.openKeys(ctx, from, credential)
	if err != nil {
		if _, _, statErr := store.Stat(ctx, keyring.ConfigName); errors.Is(statErr, fs.ErrNotExist) && !protected {
			return nil, fmt.Errorf("%w: %w", ErrNoRepository, err)
		}
		return nil, tell(fmt.Errorf("open repository: %w", err))
	}
	for _, skipped := range opened.Skipped {
		r.log.Warn("key slot cannot be used", "error", skipped)
	}
	if err := r.start(config, opened.Secrets, opened.Slot.Name); err != nil {
		return nil, err
	}
	r.applySettings(ctx, from)
	if l, ok := from.(*shown); ok && opts.OneRun {
		r.opened.Store(l)
		r.fresh.Store(l)
	}
	return r, nil
}

func newRepo(store Store, opts Options) *Repo {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.CacheBytes == 0 {
		opts.CacheBytes = 16 << 20
	}
	return &Repo{store: store, opts: opts, log: opts.Logger, prunes: map[pack.ID]*pruneRecord{}, unlisted: newUnlisted(), parts: partsCheck{turn: make(chan struct{}, 1)}}
}

// validate returns an error if the options ask for what there is not.
func (o *Options) validate() error {
	if _, err := compress.ParseLevel(o.Compression); err != nil {
		return err
	}
	if err := checkPackSize(o.PackSize); err != nil {
		return err
	}
	switch o.Parity {
	case ParityAuto, ParityOn, ParityOff:
		return nil
	}
	return fmt.Errorf("parity %q: want on, off or nothing", o.Parity)
}

// start derives what the repository works with from its secrets.
func (r *Repo) start(config *keyring.Config, secrets *keyring.Secrets, slotName string) error {
	r.config, r.secrets, r.slotName = config, secrets, slotName
	if err := r.checkSecrets(); err != nil {
		return err
	}
	r.openIndex()
	r.openKept()
	r.meta = secrets.Metadata(config.ID)
	r.records = sealed.New(r.store, r.meta)
	r.records.Fallback(copies{r.store})
	r.content = keyring.NewContentKeys(secrets, config.ID, func(ctx context.Context, id seal.KeyID) ([]byte, error) {
		return r.loadContentKey(ctx, keyring.ContentKeyName(id), func(file []byte) bool {
			_, err := secrets.UnwrapContentKey(id, file)
			return err == nil
		})
	})
	r.keys = chunks.Keys{Repository: config.ID, ChunkIDs: secrets.IDKey(), Metadata: r.meta, Content: r.content.Key, NewContent: r.newContentKey}
	r.loader = chunks.NewLoader(r.store, r.set, r.keys, r.opts.CacheBytes)
	r.openNear()
	return nil
}

// contentKeyLife is how long backups that begin take the content key of one before.
const contentKeyLife = time.Hour

// runKey is the content key of the backups that run, or ran a short while ago.
type runKey struct {
	mu   sync.Mutex // guards what follows
	key  *seal.Key  // nil before the first
	made time.Time
}

// newContentKey returns the content key of this run. It makes one and stores it for those who hold the identity, unless a backup before
// did so within contentKeyLife.
func (r *Repo) newContentKey(ctx context.Context) (*seal.Key, error) {
	k := &r.runKey
	k.mu.Lock()
	defer k.mu.Unlock()
	if age := r.now().Sub(k.made); k.key != nil && age >= 0 && age < contentKeyLife {
		return k.key, nil
	}
	made := r.now()
	key, err := r.storeContentKey(ctx, r.store)
	if err == nil {
		k.key, k.made = key, made
	}
	return key, err
}

func (r *Repo) storeContentKey(ctx context.Context, store Store) (*seal.Key, error) {
	key, err := keyring.NewContentKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	wrapped, err := r.secrets.WrapContentKey(key)
	if err != nil {
		return nil, fmt.Errorf("wrap content key: %w", err)
	}
	if err := store.Create(ctx, wrapped.Name, bytes.NewReader(wrapped.Data), int64(len(wrapped.Data))); err != nil {
		return nil, fmt.Errorf("store content key: %w", err)
	}
	return r.content.Add(key), nil
}

// ID returns the repository id as 32 hex digits.
func (r *Repo) ID() string { return fmt.Sprintf("%x", r.config.ID) }

// Role returns what the key slot that opened the repository allows.
func (r *Repo) Role() Role { return r.secrets.Role() }

func (r *Repo) now() time.Time { return r.opts.Now() }

// load returns the bytes of a chunk, from what is kept if it can. One that is in no pack is looked for in the index files that snapshots name
// which were opened.
func (r *Repo) load(ctx context.Context, kind pack.Kind, id pack.ChunkID) ([]byte, error) {
	defer r.endUse()
	if !r.uses.begin() {
		return nil, errClosed
	}
	load := r.loadNear(r.nearLoader, r.loader)
	data, err := load(ctx, kind, id)
	if !errors.Is(err, chunks.ErrMissing) {
		return data, err
	}
	added, addErr := r.bringWanted(ctx)
	if addErr != nil || !added {
		return nil, errors.Join(err, addErr)
	}
	return load(ctx, kind, id)
}

var _ tree.LoadPage = (*Repo)(nil).load

func isRecordDamage(err error) bool {
	return errors.Is(err, sealed.ErrCorrupt) || errors.Is(err, record.ErrCorrupt) || errors.Is(err, index.ErrCorrupt)
}

func isRecordNewer(err error) bool {
	return errors.Is(err, record.ErrNewer) || errors.Is(err, index.ErrNewer)
}
