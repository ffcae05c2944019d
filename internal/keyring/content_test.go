package keyring

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/snapkeep/snap/internal/seal"
)

// keyFiles is a loader over a map that counts its calls.
type keyFiles struct {
	files map[seal.KeyID][]byte
	calls atomic.Int64
}

func (k *keyFiles) load(_ context.Context, id seal.KeyID) ([]byte, error) {
	k.calls.Add(1)
	if data, ok := k.files[id]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

// wrapped returns n content keys and a loader of their files.
func wrapped(t testing.TB, s *Secrets, n int) ([]*ContentKey, *keyFiles) {
	t.Helper()
	files := &keyFiles{files: make(map[seal.KeyID][]byte)}
	var keys []*ContentKey
	for range n {
		k := must(NewContentKey(rand.Reader))
		f := must(s.WrapContentKey(k))
		if f.Name != "content/"+k.ID().String() {
			t.Fatalf("name %q", f.Name)
		}
		keys, files.files[k.ID()] = append(keys, k), f.Data
	}
	return keys, files
}

// writerOf returns s as a writer's slot gives it.
func writerOf(s *Secrets) *Secrets {
	w := *s
	w.identity = nil
	return &w
}

func TestContentKeys(t *testing.T) {
	s, repo := newSecrets(t), [16]byte{1, 2}
	keys, files := wrapped(t, writerOf(s), 3) // wrapped by a writer, opened by the owner
	ring := NewContentKeys(s, repo, files.load)
	for _, k := range keys {
		box := must(seal.NewKey(&k.secret, repo, nil).Seal(nil, 1, []byte("file data")))
		for range 2 {
			key, err := ring.Key(t.Context(), k.ID())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := key.Open(nil, 1, box); err != nil || string(got) != "file data" {
				t.Errorf("%q, %v", got, err)
			}
		}
	}
	if n := files.calls.Load(); n != 3 {
		t.Errorf("%d loads of 3 keys", n)
	}
}

func TestWriterOpensOnlyKeysOfThisRun(t *testing.T) {
	s, repo := writerOf(newSecrets(t)), [16]byte{9}
	keys, files := wrapped(t, s, 2)
	ring := NewContentKeys(s, repo, files.load)
	box := must(ring.Add(keys[0]).Seal(nil, 1, []byte("mine")))
	if got, err := must(ring.Key(t.Context(), keys[0].ID())).Open(nil, 1, box); err != nil || string(got) != "mine" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := ring.Key(t.Context(), keys[1].ID()); !errors.Is(err, ErrNoContentIdentity) {
		t.Errorf("got %v", err)
	}
	if n := files.calls.Load(); n != 0 {
		t.Errorf("%d loads that nobody can use", n)
	}
	if _, err := s.UnwrapContentKey(keys[1].ID(), files.files[keys[1].ID()]); !errors.Is(err, ErrNoContentIdentity) {
		t.Errorf("got %v", err)
	}
}

func TestUnwrapContentKeyRefuses(t *testing.T) {
	s := newSecrets(t)
	keys, files := wrapped(t, s, 2)
	id := keys[0].ID()
	good := files.files[id]
	foreign := must(newSecrets(t).WrapContentKey(keys[0])).Data
	for name, data := range map[string][]byte{
		"empty":           nil,
		"another key":     files.files[keys[1].ID()],
		"for another":     foreign,
		"31 bytes":        must(encrypt(keys[0].secret[:31], s.recipient)),
		"33 bytes":        must(encrypt(append(keys[0].secret[:], 0), s.recipient)),
		"too long":        append(bytes.Clone(good), make([]byte, maxFileSize)...),
		"a byte too much": append(bytes.Clone(good), 0),
		"for X25519":      must(encrypt(keys[0].secret[:], x25519Key().recipient.age)),
	} {
		if _, err := s.UnwrapContentKey(id, data); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range good {
		if _, err := s.UnwrapContentKey(id, good[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut off at %d: %v", n, err)
		}
	}
	for bit := 0; bit < 8*len(good); bit += 37 {
		if _, err := s.UnwrapContentKey(id, flip(good, bit)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("flip of bit %d: %v", bit, err)
		}
	}
}

func TestContentKeysForgetFailures(t *testing.T) {
	s := newSecrets(t)
	keys, files := wrapped(t, s, 1)
	id := keys[0].ID()
	good := files.files[id]
	ring := NewContentKeys(s, [16]byte{}, files.load)
	delete(files.files, id)
	if _, err := ring.Key(t.Context(), id); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	files.files[id] = good[:50]
	if _, err := ring.Key(t.Context(), id); !errors.Is(err, ErrCorrupt) {
		t.Errorf("damaged: %v", err)
	}
	files.files[id] = good
	if _, err := ring.Key(t.Context(), id); err != nil {
		t.Errorf("restored: %v", err)
	}
	if len(ring.flights) != 0 || len(ring.keys) != 1 {
		t.Errorf("%d flights, %d keys are left", len(ring.flights), len(ring.keys))
	}
}

func TestContentKeysLoadOnceForAll(t *testing.T) {
	s := newSecrets(t)
	keys, files := wrapped(t, s, 8)
	ring := NewContentKeys(s, [16]byte{}, files.load)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			k := keys[i%len(keys)]
			if i == 63 {
				ring.Add(k)
			}
			if key, err := ring.Key(t.Context(), k.ID()); err != nil || key.ID() != k.ID() {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := files.calls.Load(); n > 8 {
		t.Errorf("%d loads of 8 keys", n)
	}
}

// One who waits for another's load leaves when called off, and loads himself when the other was.
func TestContentKeysWaitersAndCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecrets(t)
		keys, files := wrapped(t, s, 1)
		id := keys[0].ID()
		release := make(chan struct{})
		ring := NewContentKeys(s, [16]byte{}, func(ctx context.Context, id seal.KeyID) ([]byte, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-release:
				return files.load(ctx, id)
			}
		})
		first, cancelFirst := context.WithCancel(t.Context())
		impatient, cancelImpatient := context.WithCancel(t.Context())
		results := map[string]error{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		get := func(name string, ctx context.Context) {
			wg.Go(func() {
				_, err := ring.Key(ctx, id)
				mu.Lock()
				defer mu.Unlock()
				results[name] = err
			})
			synctest.Wait()
		}
		get("first", first)
		get("patient", t.Context())
		get("impatient", impatient)
		cancelImpatient()
		synctest.Wait()
		mu.Lock()
		if err, ok := results["impatient"]; !ok || !errors.Is(err, context.Canceled) || len(results) != 1 {
			t.Errorf("after one was called off: %v", results)
		}
		mu.Unlock()
		cancelFirst()
		synctest.Wait()
		close(release)
		wg.Wait()
		if !errors.Is(results["first"], context.Canceled) || results["patient"] != nil {
			t.Errorf("got %v", results)
		}
	})
}

func TestNewContentKeyReportsRandomSource(t *testing.T) {
	if _, err := NewContentKey(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("31 random bytes made a key")
	}
}

func TestNewSecretsRefuses(t *testing.T) {
	for name, do := range map[string]func() error{
		"random source": func() error {
			_, err := NewSecrets(bytes.NewReader(make([]byte, 31)), testPolynomial, testChunkers)
			return err
		},
		"polynomial": func() error { _, err := NewSecrets(rand.Reader, 7, testChunkers); return err },
		"chunkers":   func() error { _, err := NewSecrets(rand.Reader, testPolynomial, nil); return err },
	} {
		if do() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
