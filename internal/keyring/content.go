package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"filippo.io/age"
	"github.com/snapkeep/snap/internal/seal"
)

// ContentPrefix is what the names of all content keys in the store begin with.
const ContentPrefix = "content/"

// ContentKeyName returns the name in the store of the content key id.
func ContentKeyName(id seal.KeyID) string { return ContentPrefix + id.String() }

// ContentKey is a key that seals file data: 32 random bytes. Printing one shows only its id.
type ContentKey struct {
	id     seal.KeyID
	secret [32]byte
}

// NewContentKey returns a fresh content key from random.
func NewContentKey(random io.Reader) (*ContentKey, error) {
	k := new(ContentKey)
	if _, err := io.ReadFull(random, k.secret[:]); err != nil {
		return nil, fmt.Errorf("random source: %w", err)
	}
	k.id = seal.IDOf(&k.secret)
	return k, nil
}

// ID returns the key's id.
func (k *ContentKey) ID() seal.KeyID { return k.id }

// Format implements fmt.Formatter: every verb shows the id and nothing else.
func (k ContentKey) Format(f fmt.State, _ rune) { io.WriteString(f, k.id.String()) }

// WrapContentKey returns the file that keeps k for whoever holds the content identity.
// It must be durable before anything that k sealed.
func (s *Secrets) WrapContentKey(k *ContentKey) (File, error) {
	data, err := encrypt(k.secret[:], s.recipient)
	if err != nil {
		return File{}, fmt.Errorf("wrap content key %s: %w", k, err)
	}
	return File{Name: ContentKeyName(k.id), Data: data}, nil
}

// UnwrapContentKey reverses WrapContentKey for the key id. The error wraps
// ErrNoContentIdentity or ErrCorrupt.
func (s *Secrets) UnwrapContentKey(id seal.KeyID, data []byte) (*ContentKey, error) {
	if s.identity == nil {
		return nil, ErrNoContentIdentity
	}
	k, err := s.unwrapContentKey(data)
	if err == nil && k.id != id {
		err = errors.New("another key than its name says")
	}
	if err != nil {
		return nil, fmt.Errorf("content key %s: %w: %w", id, ErrCorrupt, err)
	}
	return k, nil
}

func (s *Secrets) unwrapContentKey(data []byte) (*ContentKey, error) {
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("%d bytes are over the limit of %d", len(data), maxFileSize)
	}
	r, err := age.Decrypt(bytes.NewReader(data), s.identity)
	if err != nil {
		return nil, err
	}
	k := new(ContentKey)
	if _, err := io.ReadFull(r, k.secret[:]); err != nil {
		return nil, err
	}
	var more [1]byte
	if _, err := io.ReadFull(r, more[:]); err != io.EOF {
		return nil, errors.New("data behind the key")
	}
	k.id = seal.IDOf(&k.secret)
	return k, nil
}

// ContentKeys gives the keys of file data by their ids. It opens each once, when it
// is first asked for. It is safe for concurrent use.
type ContentKeys struct {
	secrets *Secrets
	repo    [16]byte
	load    func(ctx context.Context, id seal.KeyID) ([]byte, error)

	mu      sync.Mutex // guards what follows
	keys    map[seal.KeyID]*seal.Key
	flights map[seal.KeyID]*flight
}

// flight is a key on its way; key and err are set when done is closed.
type flight struct {
	done chan struct{}
	key  *seal.Key
	err  error
}

// NewContentKeys returns the ContentKeys of the repository repo. load reads the file
// of a content key; it is called by several goroutines, though by one at a time for
// each id, and not at all if secrets are a writer's.
func NewContentKeys(secrets *Secrets, repo [16]byte, load func(ctx context.Context, id seal.KeyID) ([]byte, error)) *ContentKeys {
	return &ContentKeys{
		secrets: secrets, repo: repo, load: load,
		keys:    make(map[seal.KeyID]*seal.Key),
		flights: make(map[seal.KeyID]*flight),
	}
}

// Add makes a key of this run known and returns it ready to seal.
func (c *ContentKeys) Add(k *ContentKey) *seal.Key {
	key := seal.NewKey(&k.secret, c.repo, nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys[k.id] = key
	return key
}

// Key returns the key id. The error wraps ErrNoContentIdentity if only the content
// identity could open the key and there is none, ErrCorrupt if its file is damaged,
// or is that of load. A failure is not remembered.
func (c *ContentKeys) Key(ctx context.Context, id seal.KeyID) (*seal.Key, error) {
	for {
		c.mu.Lock()
		key, f := c.keys[id], c.flights[id]
		if key == nil && f == nil {
			f = &flight{done: make(chan struct{})}
			c.flights[id] = f
			c.mu.Unlock()
			return c.fly(ctx, id, f)
		}
		c.mu.Unlock()
		if key != nil {
			return key, nil
		}
		select {
		case <-f.done:
			if f.err == nil || ctx.Err() != nil || !isCanceled(f.err) {
				return f.key, f.err
			} // the one who loaded was called off, not we
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func isCanceled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// fly loads the key id and tells all who wait for it.
func (c *ContentKeys) fly(ctx context.Context, id seal.KeyID, f *flight) (*seal.Key, error) {
	f.err = fmt.Errorf("content key %s: not loaded", id) // stays if load panics
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if f.err == nil {
			c.keys[id] = f.key
		}
		delete(c.flights, id)
		close(f.done)
	}()
	f.key, f.err = c.open(ctx, id)
	return f.key, f.err
}

func (c *ContentKeys) open(ctx context.Context, id seal.KeyID) (*seal.Key, error) {
	if c.secrets.identity == nil {
		return nil, ErrNoContentIdentity
	}
	data, err := c.load(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read content key %s: %w", id, err)
	}
	k, err := c.secrets.UnwrapContentKey(id, data)
	if err != nil {
		return nil, err
	}
	return seal.NewKey(&k.secret, c.repo, nil), nil
}
