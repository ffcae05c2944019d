package sealed_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/pack"
)

func records(store sealed.Store) *sealed.Records {
	return sealed.New(store, seal.NewKey(&[32]byte{1}, [16]byte{2}, nil))
}

func TestRecordsComeBack(t *testing.T) {
	store := mem.New(nil)
	r := records(store)
	for _, body := range [][]byte{nil, []byte("{}"), bytes.Repeat([]byte("snapshot "), 5000)} {
		id, err := r.Save(t.Context(), sealed.Snapshot, body)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Load(t.Context(), sealed.Snapshot, id)
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d bytes came back as %d: %v", len(body), len(got), err)
		}
		if _, err := r.Load(t.Context(), sealed.Label, id); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("as another kind: %v", err)
		}
	}
}

func TestDamagedRecordIsRefused(t *testing.T) {
	store := mem.New(nil)
	r := records(store)
	id, file, err := r.Seal(sealed.Label, []byte("some label"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range file {
		bad := bytes.Clone(file)
		bad[i] ^= 1
		if _, err := r.Open(sealed.Label, id, bad); !errors.Is(err, sealed.ErrCorrupt) {
			t.Fatalf("byte %d flipped, name kept: %v", i, err)
		}
		// A forger can name the file as it should be named, and has no key.
		if _, err := r.Open(sealed.Label, pack.SumID(bad), bad); !errors.Is(err, sealed.ErrCorrupt) {
			t.Fatalf("byte %d flipped, named anew: %v", i, err)
		}
	}
	for n := range file {
		if _, err := r.Open(sealed.Label, pack.SumID(file[:n]), file[:n]); !errors.Is(err, sealed.ErrCorrupt) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := r.Open(sealed.Snapshot, id, file); !errors.Is(err, sealed.ErrCorrupt) {
		t.Errorf("as a snapshot: %v", err)
	}
}

func TestTooLargeARecordIsRefused(t *testing.T) {
	r := records(mem.New(nil))
	if _, err := r.Save(t.Context(), sealed.Label, make([]byte, sealed.Label.Limit+1)); err == nil {
		t.Error("saved")
	}
}

// TestTooLargeAnIndexFileIsRefused makes one whose body is within its limit, and which does not become smaller.
func TestTooLargeAnIndexFileIsRefused(t *testing.T) {
	r := records(mem.New(nil))
	body := make([]byte, sealed.Index.MaxFile())
	rand.NewChaCha8([32]byte{1}).Read(body)
	if _, _, err := r.Seal(sealed.Index, body); err == nil {
		t.Error("sealed")
	}
	if _, err := r.OpenAny(sealed.Index, append(body, 0)); !errors.Is(err, sealed.ErrCorrupt) || !strings.Contains(err.Error(), "over the limit") {
		t.Errorf("a file of a byte more than the limit: %v", err)
	}
}
