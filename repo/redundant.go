package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/parity"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/store/local"
	"github.com/snapkeep/snap/pack"
)

// ParityMode says whether parity is written for packs, and second copies of what is small
// (docs/format.md section 13).
type ParityMode string

// The modes. The zero ParityMode is automatic: Create decides by the store, on for a folder
// and off for others, and Open goes on with what it finds.
const (
	ParityAuto ParityMode = ""
	ParityOn   ParityMode = "on"
	ParityOff  ParityMode = "off"
)

// parityName returns the name of the parity of a pack.
func parityName(id pack.ID) string {
	s := id.String()
	return parityPrefix + s[:2] + "/" + s
}

// wantsParity reports whether what a new repository in the store holds is to be protected.
func wantsParity(store Store, mode ParityMode) bool {
	_, isLocal := able[*local.Store](store)
	return mode == ParityOn || (mode == ParityAuto && isLocal)
}

// hasParity reports whether the repository in the store is protected.
func hasParity(ctx context.Context, store lister, mode ParityMode) (bool, error) {
	if mode != ParityAuto {
		return mode == ParityOn, nil
	}
	has, err := hasAny(ctx, store, copyPrefix)
	if raw, ok := store.(Store); ok && !has && err == nil {
		// Where asking costs next to nothing, copies that are lost to the last do not end the protection.
		if folder, isLocal := able[*local.Store](raw); isLocal {
			return hasAny(ctx, folder, parityPrefix)
		}
	}
	return has, err
}

// hasAny reports whether there is a file with the prefix.
func hasAny(ctx context.Context, store lister, prefix string) (bool, error) {
	found := errors.New("found")
	err := store.List(ctx, prefix, func(string, int64, time.Time) error { return found })
	if errors.Is(err, found) {
		return true, nil
	}
	return false, err
}

// redundant is a Store that writes parity beside packs and second copies of small files.
type redundant struct {
	Store
	coder parity.Coder
}

// redundantSpooler is a redundant over a Spooler.
type redundantSpooler struct {
	*redundant
	inner Spooler
}

// protector is a Store that writes parity and second copies.
type protector interface{ unprotected() Store }

func (s *redundant) unprotected() Store { return s.Store }

// withParity returns a store that protects what is written to it.
func withParity(store Store) Store {
	r := &redundant{Store: store}
	if inner, ok := store.(Spooler); ok {
		return &redundantSpooler{r, inner}
	}
	return r
}

func (s *redundant) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	kind, id := classify(name)
	if !copied(kind) {
		if err := s.Store.Create(ctx, name, data, size); err != nil {
			return err
		}
		return s.protect(ctx, kind, id, name)
	}
	if size < 0 || size > int64(sealed.Index.Limit) {
		return fmt.Errorf("create %s: %d bytes are over the limit", name, size)
	}
	file := make([]byte, size)
	if _, err := io.ReadFull(data, file); err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	if err := s.Store.Create(ctx, name, bytes.NewReader(file), size); err != nil {
		return err
	}
	return s.save(ctx, copyPrefix+name, file)
}

// save stores a file that is of use only if another is damaged. One that is there already will do.
func (s *redundant) save(ctx context.Context, name string, file []byte) error {
	err := s.Store.Create(ctx, name, bytes.NewReader(file), int64(len(file)))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// protect writes the parity of a pack that was stored a moment ago.
func (s *redundant) protect(ctx context.Context, kind fileKind, id pack.ID, name string) error {
	if kind != fileData && kind != fileMeta {
		return nil
	}
	size, _, err := s.Store.Stat(ctx, name)
	if err != nil {
		return fmt.Errorf("parity of pack %s: %w", id, err)
	}
	file, err := s.coder.Encode(ctx, storeReader{ctx, s.Store, name}, size, id)
	if err != nil {
		return fmt.Errorf("parity of pack %s: %w", id, err)
	}
	return s.save(ctx, parityName(id), file)
}

func (s *redundantSpooler) Spool(ctx context.Context) (io.WriteCloser, func(ctx context.Context, name string) error, error) {
	w, commit, err := s.inner.Spool(ctx)
	if err != nil {
		return nil, nil, err
	}
	return w, func(ctx context.Context, name string) error {
		if err := commit(ctx, name); err != nil {
			return err
		}
		kind, id := classify(name)
		return s.protect(ctx, kind, id, name)
	}, nil
}

// Remove removes first what protects the file, or it would look like one that was lost.
func (s *redundant) Remove(ctx context.Context, name string) error {
	if err := s.unprotect(ctx, name); err != nil {
		return err
	}
	return s.Store.Remove(ctx, name)
}

// Drop implements dropper.
func (s *redundant) Drop(ctx context.Context, name string) error {
	if err := s.unprotect(ctx, name); err != nil {
		return err
	}
	return dropFrom(ctx, s.Store, name)
}

func (s *redundant) unprotect(ctx context.Context, name string) error {
	kind, id := classify(name)
	other := ""
	switch {
	case kind == fileData || kind == fileMeta:
		other = parityName(id)
	case copied(kind):
		other = copyPrefix + name
	default:
		return nil
	}
	if err := dropFrom(ctx, s.Store, other); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// CleanTemp removes unfinished files if the store leaves any.
func (s *redundant) CleanTemp(ctx context.Context, age time.Duration) (int, error) {
	return cleanTemp(ctx, s.Store, age)
}

// Remote implements remoteStore.
func (s *redundant) Remote() bool {
	return isRemote(s.Store)
}

func cleanTemp(ctx context.Context, store Store, age time.Duration) (int, error) {
	if c, ok := able[tempCleaner](store); ok {
		return c.CleanTemp(ctx, age)
	}
	return 0, nil
}

// tempCleaner is a Store that leaves unfinished files when it is cut off.
type tempCleaner interface {
	CleanTemp(ctx context.Context, age time.Duration) (int, error)
}

// storeReader is a file of a store as an io.ReaderAt, for the time of one call.
type storeReader struct {
	ctx   context.Context
	store Store
	name  string
}

func (r storeReader) ReadAt(p []byte, off int64) (int, error) {
	return r.store.ReadAt(r.ctx, r.name, p, off)
}

// copies shows the second copies in a store under the names of what they are copies of. It is for reading.
type copies struct{ Store }

func (c copies) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	return c.Store.ReadAt(ctx, copyPrefix+name, p, off)
}

func (c copies) Stat(ctx context.Context, name string) (int64, time.Time, error) {
	return c.Store.Stat(ctx, copyPrefix+name)
}

func (c copies) List(ctx context.Context, prefix string, fn func(name string, size int64, modTime time.Time) error) error {
	return c.Store.List(ctx, copyPrefix+prefix, func(name string, size int64, modTime time.Time) error {
		return fn(strings.TrimPrefix(name, copyPrefix), size, modTime)
	})
}

// openKeys reads snap.json and opens a key slot. Where one of them is damaged its copy serves.
func (r *Repo) openKeys(ctx context.Context, from lister, credential *Credential) (*keyring.Config, *keyring.Opened, error) {
	config, err := keyring.LoadConfig(ctx, r.store)
	var opened *keyring.Opened
	if err == nil {
		opened, err = r.openSlots(ctx, from, config, credential)
	}
	if err == nil {
		r.sound = append(r.sound, keyring.ConfigName)
	}
	if err == nil || ctx.Err() != nil {
		return config, opened, err
	}
	// Whatever is wrong with snap.json, a slot tells whether the copy is the right one.
	second, copyErr := keyring.LoadConfig(ctx, copies{r.store})
	if copyErr != nil || (config != nil && second.Sum() == config.Sum()) {
		return nil, nil, err
	}
	if opened, copyErr = r.openSlots(ctx, from, second, credential); copyErr != nil {
		return nil, nil, err
	}
	r.log.Warn("snap.json is damaged; its copy serves", "error", err)
	return second, opened, nil
}

// openSlots opens a key slot, or the copy of one.
func (r *Repo) openSlots(ctx context.Context, from lister, config *keyring.Config, credential *Credential) (*keyring.Opened, error) {
	opened, err := keyring.OpenStore(ctx, listed{r.store, from}, config, credential)
	if err == nil {
		r.sound = append(r.sound, opened.Slot.Name)
	}
	if err == nil || ctx.Err() != nil {
		return opened, err
	}
	slots, copyErr := keyring.LoadSlots(ctx, copies{r.store})
	if copyErr != nil {
		return nil, err
	}
	var damaged []keyring.File
	for _, slot := range slots {
		file, readErr := sealed.ReadFile(ctx, r.store, slot.Name, 1<<20)
		if readErr != nil || !bytes.Equal(file, slot.Data) {
			damaged = append(damaged, slot)
		}
	}
	if len(damaged) == 0 {
		return nil, err
	}
	second, copyErr := keyring.Open(ctx, config, damaged, credential)
	if copyErr != nil {
		return nil, err
	}
	r.log.Warn("a key slot is damaged; its copy serves", "slot", second.Slot.Name)
	return second, nil
}

// loadContentKey reads the file of a content key, or its copy.
func (r *Repo) loadContentKey(ctx context.Context, name string, opens func(file []byte) bool) ([]byte, error) {
	file, err := sealed.ReadFile(ctx, r.store, name, 64<<10)
	if err == nil && opens(file) {
		return file, nil
	}
	second, copyErr := sealed.ReadFile(ctx, copies{r.store}, name, 64<<10)
	if copyErr != nil || !opens(second) {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: %w", errNoContentKey, err)
		}
		return file, err
	}
	r.log.Warn("a content key is damaged; its copy serves", "key", name)
	return second, nil
}
